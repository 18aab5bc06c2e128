"""Both ends must allow a call, and a denial is what people are told."""

import pytest
from ringfence.model.effective import Direction, RuleRef
from ringfence.model.verdict import Half, Reason, Verdict


def half(direction: Direction, allowed: bool) -> Half:
    return Half(direction, allowed, Reason.ALLOWED_BY_RULE if allowed else Reason.NO_RULE_ALLOWS)


@pytest.mark.parametrize(
    ("egress", "ingress", "allowed", "deciding"),
    [
        (True, True, True, Direction.INGRESS),
        (True, False, False, Direction.INGRESS),
        (False, True, False, Direction.EGRESS),
        (False, False, False, Direction.EGRESS),
    ],
)
def test_both_halves_decide(egress: bool, ingress: bool, allowed: bool, deciding: Direction) -> None:
    verdict = Verdict(half(Direction.EGRESS, egress), half(Direction.INGRESS, ingress))
    assert verdict.allowed is allowed
    assert verdict.deciding.direction is deciding


def test_a_rule_is_named_with_its_policy() -> None:
    assert str(RuleRef("SecurityPolicy", "shop", "payments", "charge")) == "SecurityPolicy shop/payments rule charge"
    assert str(RuleRef("ClusterSecurityPolicy", "", "floor", "deny")) == "ClusterSecurityPolicy floor rule deny"
