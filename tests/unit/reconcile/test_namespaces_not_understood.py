"""Resources that cannot be understood: what is in force stays, and nobody guesses what they deny."""

from typing import Any

import pytest
from ringfence.translate.network_policy import DEFAULT_DENY

from tests.unit.reconcile import fakes
from tests.unit.reconcile.namespace_rig import ALLOW, shop


def test_a_policy_that_cannot_be_read_keeps_its_last_good_version() -> None:
    rig = shop()
    rig.reconcile()
    broken = fakes.policy("shop", "payments", [("shop", "checkout")])
    broken["spec"]["ingress"][0]["ports"] = ["not a port!"]
    rig.cluster.put(broken)
    rig.reconcile()
    assert ALLOW in rig.network_policies
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"], said["observedGeneration"]) == ("False", "InvalidResource", 2)
    assert "last good version stays in force" in said["message"]
    assert "spec.ingress[0].ports[0]" in said["message"]
    assert ("Warning", "SecurityPolicy", "payments", "InvalidResource") in rig.events.told


def broken_policy(name: str = "payments") -> dict[str, Any]:
    """One that may deny anything: nobody can read it."""
    broken = fakes.policy("shop", name, [("shop", "checkout")])
    broken["spec"]["ingress"][0] |= {"action": "Deny", "ports": ["not a port!"]}
    return broken


def test_after_a_restart_a_policy_that_cannot_be_read_leaves_the_network_as_it_is() -> None:
    rig = shop()
    rig.reconcile()
    before = {name: rig.cluster.objects["NetworkPolicy", "shop", name]["spec"] for name in rig.network_policies}
    rig.cluster.put(broken_policy(), fakes.policy("shop", "checkout", [("shop", "payments")]))
    rig.restart()
    rig.reconcile()
    assert {name: rig.cluster.objects["NetworkPolicy", "shop", name]["spec"] for name in rig.network_policies} == before
    assert rig.enforced()["status"] == "True"
    assert "SecurityPolicy payments cannot be understood" in rig.enforced()["message"]
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"]) == ("False", "InvalidResource")
    assert "the network stays as it is" in said["message"]
    # Mended, everything goes on.
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout")]))
    rig.reconcile()
    assert "ringfence-policy-checkout-ingress" in rig.network_policies
    assert rig.enforced()["message"] == "everything that no rule allows is denied"


def test_meanwhile_the_default_deny_is_kept_up() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.put(broken_policy())
    rig.restart()
    del rig.cluster.objects["NetworkPolicy", "shop", DEFAULT_DENY]
    rig.reconcile()
    assert {DEFAULT_DENY, ALLOW} <= set(rig.network_policies)


def test_a_namespace_that_was_open_does_not_close_on_half_of_its_policies() -> None:
    rig = shop()
    rig.cluster.put(broken_policy("another"))
    rig.reconcile()
    assert rig.network_policies == []
    assert (rig.enforced()["status"], rig.enforced()["reason"]) == ("False", "Undecided")
    assert "SecurityPolicy another cannot be understood" in rig.enforced()["message"]


@pytest.mark.parametrize(
    ("selector", "frozen"),
    [
        ({}, True),
        ({"matchLabels": {"tier": "web"}}, True),
        ({"matchLabels": {"tier": "other"}}, False),
        ("everything", True),
        (None, True),
    ],
)
def test_a_floor_that_was_never_understood_freezes_what_it_may_govern(selector: Any, frozen: bool) -> None:
    rig = shop()
    rig.cluster.put(fakes.namespace("shop", "enforce", tier="web"))
    rig.cluster.put(fakes.cluster_policy("floor", namespaceSelector=selector, unheardOf=True))
    rig.reconcile()
    assert (rig.network_policies == []) is frozen


def test_unenrolling_opens_whatever_cannot_be_understood() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.put(broken_policy(), fakes.namespace("shop"))
    rig.restart()
    rig.reconcile()
    assert rig.network_policies == []
    assert rig.enforced() == {}
