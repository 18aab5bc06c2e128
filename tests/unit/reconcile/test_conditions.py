"""Conditions by the conventions: the time is that of the last change of status, not of the last write."""

import pytest
from ringfence.reconcile import conditions
from ringfence.reconcile.conditions import Condition

NOW = 1_700_000_000.0
THEN = "2020-01-01T00:00:00Z"


def test_a_new_condition_began_now() -> None:
    assert Condition("Ready", True, "InForce", "all is well").render(None, NOW, 3) == {
        "type": "Ready",
        "status": "True",
        "reason": "InForce",
        "message": "all is well",
        "lastTransitionTime": "2023-11-14T22:13:20Z",
        "observedGeneration": 3,
    }


@pytest.mark.parametrize(("held", "since"), [("True", THEN), ("False", "2023-11-14T22:13:20Z")])
def test_the_time_moves_with_the_status_only(held: str, since: str) -> None:
    before = {"type": "Ready", "status": held, "reason": "Other", "message": "", "lastTransitionTime": THEN}
    assert Condition("Ready", True, "InForce", "").render(before, NOW, 3)["lastTransitionTime"] == since


def test_a_namespace_has_no_generation() -> None:
    assert "observedGeneration" not in Condition("x/Enforced", False, "Staged", "").render(None, NOW, None)


def test_a_message_fits_into_the_api() -> None:
    message = Condition("Ready", False, "Many", "x" * 40000).render(None, NOW, 1)["message"]
    assert len(message) == conditions.MAX_MESSAGE
    assert message.endswith("...")


def test_finding_one_among_others() -> None:
    held = [{"type": "A"}, {"type": "Ready", "status": "True"}]
    assert conditions.find(held, "Ready") == {"type": "Ready", "status": "True"}
    assert conditions.find(held, "B") is None
    assert conditions.find(None, "Ready") is None
