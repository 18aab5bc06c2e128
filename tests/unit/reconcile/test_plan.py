"""The plan is the difference, and nothing that is not Ringfence's is in it."""

from typing import Any

from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE
from ringfence.reconcile import plan

OWN = {LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: "network"}


def policy(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop", "labels": OWN if labels is None else labels},
        "spec": {"podSelector": {}, **spec},
    }


def test_what_is_there_already_is_not_written() -> None:
    assert plan.plan([policy("a")], [policy("a")], "network").empty


def test_missing_and_different_objects_are_applied_in_the_order_desired() -> None:
    desired = [policy("c"), policy("b", policyTypes=["Ingress"]), policy("a")]
    made = plan.plan(desired, [policy("b"), policy("a")], "network")
    assert [each["metadata"]["name"] for each in made.apply] == ["c", "b"]
    assert made.delete == ()


def test_owned_objects_that_nobody_wants_are_deleted() -> None:
    made = plan.plan([], [policy("old")], "network")
    assert [each["metadata"]["name"] for each in made.delete] == ["old"]


def test_strangers_and_other_purposes_stay() -> None:
    observed = [
        policy("stranger", labels={}),
        policy("charts", labels={LABEL_MANAGED_BY: "Helm", LABEL_PURPOSE: "network"}),
        policy("other", labels={LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: "else"}),
    ]
    assert plan.plan([], observed, "network").empty


def test_a_stranger_with_a_desired_name_is_taken_over() -> None:
    made = plan.plan([policy("a")], [policy("a", labels={})], "network")
    assert [each["metadata"]["name"] for each in made.apply] == ["a"]
