"""What a policy's status says of its proxies: how many enforce it, and what they refuse, said once and no longer."""

from typing import Any

import pytest
from ringfence.model.acknowledgements import PolicyState
from ringfence.reconcile import programmed, status
from ringfence.reconcile.conditions import Condition

from tests.unit.reconcile import fakes

GOOD = Condition("Ready", True, "InForce", "2 NetworkPolicies hold its rules")
REFUSAL = "routes inbound-8080: Only unique values for domains are permitted"
NOW = 1_700_000_000.0


def policy(generation: int = 3) -> dict[str, Any]:
    found = fakes.policy("shop", "payments", [("shop", "checkout")])
    return {**found, "metadata": {**found["metadata"], "generation": generation}}


def said(state: PolicyState | None, ready: Condition = GOOD) -> tuple[Any, Condition, tuple[Condition, ...]]:
    known = {"SecurityPolicy shop/pay": PolicyState(9, 9, 9), "ClusterSecurityPolicy payments": PolicyState(9, 9, 9)}
    known |= {} if state is None else {"SecurityPolicy shop/payments": state}
    numbers, judged, others = programmed.joined(policy(), ({"pods": 4}, ready), known)
    assert numbers.pop("pods") == 4
    return numbers, judged, others


@pytest.mark.parametrize("state", [None, PolicyState(3, 0, 0)])
def test_without_proxies_nothing_is_said(state: PolicyState | None) -> None:
    assert said(state) == ({}, GOOD, ())


def test_all_of_them_enforce_it() -> None:
    numbers, ready, (condition,) = said(PolicyState(3, 4, 4))
    assert numbers == {"programmed": {"ready": 4, "total": 4}}
    assert ready == GOOD
    assert condition == Condition("Programmed", True, "InUse", "all 4 proxies enforce it")


@pytest.mark.parametrize(
    ("state", "enforcing"),
    [(PolicyState(3, 2, 4), 2), (PolicyState(2, 4, 4), 0)],
    ids=["some are behind", "all have a former version"],
)
def test_while_they_are_behind(state: PolicyState, enforcing: int) -> None:
    numbers, ready, (condition,) = said(state)
    assert numbers == {"programmed": {"ready": enforcing, "total": 4}}
    assert ready == GOOD
    assert (condition.status, condition.reason) == (False, "Pending")
    assert f"{enforcing} of 4" in condition.message


def test_what_they_refuse_is_in_both_conditions_and_only_one_counts() -> None:
    _, ready, (condition,) = said(PolicyState(3, 1, 4, 3, (REFUSAL,)))
    assert (condition.status, condition.reason) == (False, "RefusedByProxies")
    assert "3 of 4 proxies" in condition.message
    assert REFUSAL in condition.message
    assert (ready.status, ready.reason) == (False, "RefusedByProxies")
    assert REFUSAL in ready.message
    assert said(PolicyState(3, 2, 4, 2, (REFUSAL,)))[1] == ready


def test_what_is_wrong_anyway_stays_the_reason() -> None:
    bad = Condition("Ready", False, "UnknownIdentity", "checkout is not there")
    assert said(PolicyState(3, 1, 4, 3, (REFUSAL,)), bad)[1] == bad


def test_a_cluster_wide_policy_is_told_by_its_name_alone() -> None:
    floor = fakes.cluster_policy("floor")
    known = {"ClusterSecurityPolicy floor": PolicyState(1, 1, 2, 1, (REFUSAL,))}
    numbers, ready, (condition,) = programmed.joined(floor, ({}, GOOD), known)
    assert numbers == {"programmed": {"ready": 1, "total": 2}}
    assert ready.reason == condition.reason == "RefusedByProxies"


def test_it_is_cleared_when_it_is_over_and_people_hear_of_both() -> None:
    obj = policy()
    numbers, ready, others = programmed.joined(
        obj, ({}, GOOD), {"SecurityPolicy shop/payments": PolicyState(3, 0, 1, 1, (REFUSAL,))}
    )
    refused = status.patch(obj, numbers, ready, NOW, others)
    assert refused is not None
    assert status.news(obj, ready) == ready
    obj = {**obj, "status": refused["status"]}
    assert status.news(obj, ready) is None
    numbers, ready, others = programmed.joined(obj, ({}, GOOD), {"SecurityPolicy shop/payments": PolicyState(3, 1, 1)})
    mended = status.patch(obj, numbers, ready, NOW + 60, others)
    assert mended is not None
    assert [(each["type"], each["status"]) for each in mended["status"]["conditions"]] == [
        ("Ready", "True"),
        ("Programmed", "True"),
    ]
    assert status.news(obj, ready) == GOOD
