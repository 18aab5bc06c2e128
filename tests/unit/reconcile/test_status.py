"""What is said on a resource, when it is written, and when a person gets an Event."""

from typing import Any

import pytest
from ringfence.model.effective import EffectivePolicy, Finding
from ringfence.model.resources import Mode
from ringfence.model.world import Enrolment
from ringfence.policy.reasons import FindingReason
from ringfence.reconcile import status
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.staging import Staging
from ringfence.reconcile.status import Outcome
from ringfence.translate.network_policy import ANNOTATION_RULES

from tests.unit.reconcile import fakes

NOW = 1_700_000_000.0
POLICY = fakes.policy("shop", "payments", [("shop", "checkout")])


def outcome(*reasons: FindingReason, closed: bool = True, failure: str = "") -> Outcome:
    subject = ("SecurityPolicy", "shop", "payments")
    findings = tuple(sorted(Finding(subject, reason.value, f"because {reason.value}") for reason in reasons))
    told = Staging(True, "Closed", "") if closed else Staging(False, "Staged", "pods from before")
    return Outcome(EffectivePolicy("shop", Enrolment.ENFORCE, closed, findings=findings), told, failure=failure)


def ready(of: Outcome, mode: Mode = Mode.ENFORCE) -> Condition:
    return status.security_policy(POLICY, mode, 1, of)[1]


def test_in_force_as_written() -> None:
    assert (ready(outcome()).status, ready(outcome()).reason) == (True, "InForce")


def test_a_cause_comes_before_what_follows_from_it() -> None:
    said = ready(outcome(FindingReason.RULE_NEVER_MATCHES, FindingReason.UNKNOWN_IDENTITY))
    assert (said.status, said.reason) == (False, "UnknownIdentity")
    assert said.message == "because UnknownIdentity; because RuleNeverMatches"


@pytest.mark.parametrize("reason", sorted(status.REMARKS))
def test_remarks_leave_it_ready(reason: FindingReason) -> None:
    said = ready(outcome(FindingReason(reason)))
    assert (said.status, said.reason) == (True, "InForce")
    assert f"because {reason}" in said.message


def test_what_is_not_in_force_anyway_says_why() -> None:
    assert ready(outcome(closed=False)).reason == "Staged"
    assert ready(outcome(failure="NetworkPolicy x: too large")).reason == "NotApplied"
    assert ready(outcome(), Mode.AUDIT).reason == "Audit"


def test_a_policys_objects_are_counted_by_their_rules() -> None:
    def holding(*rules: str) -> dict[str, Any]:
        return {"metadata": {"annotations": {ANNOTATION_RULES: ", ".join(rules)}}}

    objects = [
        holding("SecurityPolicy shop/payments rule a", "SecurityPolicy shop/other rule b"),
        holding("SecurityPolicy shop/payments-2 rule a"),
        {"metadata": {}},
    ]
    assert status.network_policies_of(objects, "SecurityPolicy shop/payments rule ") == 1


def test_a_status_is_written_once() -> None:
    obj = {**POLICY, "metadata": {**POLICY["metadata"], "generation": 2}}
    said = Condition("Ready", True, "InForce", "x")
    patch = status.patch(obj, {"pods": 1}, said, NOW)
    assert patch is not None
    assert patch["metadata"] == {"name": "payments", "namespace": "shop"}
    assert patch["status"]["observedGeneration"] == 2
    assert status.patch({**obj, "status": patch["status"]}, {"pods": 1}, said, NOW + 60) is None
    assert status.patch({**obj, "status": patch["status"]}, {"pods": 2}, said, NOW + 60) is not None


@pytest.mark.parametrize(
    ("held", "now", "told"),
    [
        (None, (True, "InForce"), False),
        (None, (False, "UnknownIdentity"), True),
        (("True", "InForce"), (True, "Audit"), False),
        (("True", "InForce"), (False, "UnknownIdentity"), True),
        (("False", "UnknownIdentity"), (False, "UnknownIdentity"), False),
        (("False", "UnknownIdentity"), (False, "RuleSuspended"), True),
        (("False", "UnknownIdentity"), (True, "InForce"), True),
    ],
)
def test_people_are_told_of_what_went_wrong_and_what_was_mended(
    held: tuple[str, str] | None, now: tuple[bool, str], told: bool
) -> None:
    conditions = [{"type": "Ready", "status": held[0], "reason": held[1], "message": "m"}] if held else []
    obj = {**POLICY, "status": {"conditions": conditions}}
    assert (status.news(obj, Condition("Ready", now[0], now[1], "m")) is not None) is told
