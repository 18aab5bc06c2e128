import pytest

from e2e.judge.client import Action
from e2e.netpol import state

POLICY = {"metadata": {"namespace": "x", "name": "p"}}


def action(verb: str, namespace: str = "", name: str = "", labels: dict[str, str] | None = None) -> Action:
    return Action(verb, namespace, name, labels or {}, POLICY if verb in ("createPolicy", "updatePolicy") else None)


def test_a_case_starts_with_nine_pods_in_three_namespaces() -> None:
    start = state.initial()
    assert len(start.pods) == 9
    assert start.namespaces["y"] == {"ns": "y", "kubernetes.io/metadata.name": "y"}


def test_policies_come_change_and_go() -> None:
    made = state.after(state.initial(), action("createPolicy", "x", "p"))
    assert made.policies == {("x", "p"): POLICY}
    assert state.after(made, action("deletePolicy", "x", "p")).policies == {}


def test_a_namespace_takes_what_is_in_it_along() -> None:
    now = state.initial()
    for each in (
        action("createNamespace", name="w", labels={"ns": "w"}),
        action("createPod", "w", "a", {"pod": "a"}),
        action("setPodLabels", "x", "a", {"pod": "z"}),
        action("createPolicy", "x", "p"),
    ):
        now = state.after(now, each)
    assert now.pods["w/a"] == {"pod": "a"}
    assert now.pods["x/a"] == {"pod": "z"}
    now = state.after(state.after(now, action("deleteNamespace", name="w")), action("deleteNamespace", name="x"))
    assert sorted(now.namespaces) == ["y", "z"]
    assert {key.partition("/")[0] for key in now.pods} == {"y", "z"}
    assert now.policies == {}


def test_a_pod_goes_alone() -> None:
    assert "x/a" not in state.after(state.initial(), action("deletePod", "x", "a")).pods


def test_an_unknown_action_is_an_error() -> None:
    with pytest.raises(ValueError, match="readPolicies"):
        state.after(state.initial(), action("readPolicies"))
