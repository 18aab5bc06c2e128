"""What the Namespace says of its closing, and what is read back."""

import pytest
from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.world import Enrolment
from ringfence.policy.reasons import FindingReason
from ringfence.reconcile import staging
from ringfence.reconcile.staging import Staging
from ringfence.translate.admission_policy import CONDITION_ENFORCED

from tests.unit.reconcile import fakes

NOW = 1_700_000_000.0


def policy(*reasons: FindingReason, closed: bool = False, enrolment: Enrolment = Enrolment.ENFORCE) -> EffectivePolicy:
    findings = tuple(Finding(("Namespace", "", "shop"), reason.value, f"because {reason.value}") for reason in reasons)
    return EffectivePolicy("shop", enrolment, closed, findings=findings)


@pytest.mark.parametrize("enrolment", [Enrolment.NONE, Enrolment.AUDIT])
def test_who_is_not_enforced_says_nothing(enrolment: Enrolment) -> None:
    assert staging.of(policy(enrolment=enrolment)) == Staging(closed=False)


def test_strangers_need_a_decision_before_pods_need_a_restart() -> None:
    told = staging.of(policy(FindingReason.STAGED, FindingReason.STRANGERS_NETWORK_POLICIES))
    assert (told.closed, told.reason) == (False, "StrangersNetworkPolicies")
    assert told.message == "because StrangersNetworkPolicies; because Staged"


def test_a_closed_namespace_names_what_opens_it_all_the_same() -> None:
    assert staging.of(policy(closed=True)) == Staging(True, "Closed", staging.CLOSED)
    assert "theirs" in staging.of(policy(closed=True), ["theirs"]).message


def test_policies_in_the_networks_own_kinds_are_named_and_keep_nothing_open() -> None:
    told = staging.beside(staging.of(policy(closed=True)), ["CiliumNetworkPolicy.cilium.io theirs"])
    assert (told.closed, told.reason) == (True, "Closed")
    assert told.message.startswith(staging.CLOSED)
    assert "CiliumNetworkPolicy.cilium.io theirs" in told.message
    staged = staging.beside(staging.of(policy(FindingReason.STAGED)), ["theirs"])
    assert (staged.closed, staged.reason) == (False, "Staged")
    assert staged.message.startswith("because Staged")
    assert "theirs" in staged.message
    silent = staging.of(policy(enrolment=Enrolment.AUDIT))
    assert staging.beside(silent, ["theirs"]) == silent


def test_what_was_never_understood_is_named() -> None:
    assert staging.undecided(True, ["SecurityPolicy a"]).closed
    told = staging.undecided(False, ["SecurityPolicy a"])
    assert (told.closed, told.reason) == (False, "Undecided")
    assert "SecurityPolicy a" in told.message


def test_the_condition_is_written_when_it_differs_and_removed_when_it_is_not_wanted() -> None:
    namespace = fakes.namespace("shop", "enforce")
    patch = staging.status_patch(namespace, Staging(True, "Closed", "x"), NOW)
    assert patch is not None
    assert patch["metadata"] == {"name": "shop"}
    namespace["status"] = {"phase": "Active", **patch["status"]}
    assert staging.latched(namespace)
    assert staging.status_patch(namespace, Staging(True, "Closed", "x"), NOW + 60) is None
    removal = staging.status_patch(namespace, Staging(closed=False), NOW)
    assert removal is not None
    assert removal["status"] == {}
    assert staging.status_patch(fakes.namespace("shop"), Staging(closed=False), NOW) is None


@pytest.mark.parametrize("status", ["False", "Unknown", ""])
def test_only_true_is_a_latch(status: str) -> None:
    namespace = fakes.namespace("shop") | {"status": {"conditions": [{"type": CONDITION_ENFORCED, "status": status}]}}
    assert not staging.latched(namespace)
    assert not staging.latched(fakes.namespace("shop"))
