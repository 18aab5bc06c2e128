"""Tunnels (CONNECT): they pass where a rule names them and nowhere else (ADR 0270)."""

from collections.abc import Iterable
from dataclasses import replace

from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.resources import Action


def named(rules: Iterable[EffectiveRule]) -> bool:
    """Whether the rules of a port have its proxy look at CONNECT: some Allow in either mode names it.

    What is always open can not be denied, so no tunnel goes there.
    """
    found = tuple(rules)
    return any(map(names, found)) and not any(rule.builtin for rule in found)


def names(rule: EffectiveRule) -> bool:
    """Whether a rule that a proxy judges allows some CONNECT."""
    if rule.action is not Action.ALLOW or rule.direction is not Direction.INGRESS or rule.suspended_by is not None:
        return False
    return rule.requests is not None and rule.requests.tunnels


def told_apart(rule: EffectiveRule) -> EffectiveRule:
    """The rule for sets of requests in which CONNECT is told apart from what other rules allow."""
    return rule if rule.direction is Direction.EGRESS or rule.builtin else replace(rule, tunnels=True)
