"""Which rule decides of one call out of a set, at each of its ends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.resources import Action
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Enrolment, Workload
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.algebra.ports import Names
from ringfence.policy.builtins import is_inside
from ringfence.policy.reasoning.side import Side, requests_of


def half(
    side: Side,
    direction: Direction,
    source: int,
    target: int,
    request: Mapping[str, Any],
    *,
    says: Callable[[EffectiveRule, Names], Diagram] = requests_of,
) -> Half:
    """What one end of a call says of it: ``source`` and ``target`` are kinds, ``request`` a witness of the set.

    Both ends have to be there on this side. ``says`` are the requests that a rule names.
    """
    governed, other = (source, target) if direction is Direction.EGRESS else (target, source)
    end = side.ends[governed]
    if not isinstance(end, Workload):
        return Half(direction, allowed=True, reason=Reason.NOT_GOVERNED)
    stated = side.stated(governed, direction)
    if stated is None:
        if direction is Direction.INGRESS and not diagram.holds(side.unruled(governed), dimensions.point(request)):
            return Half(direction, allowed=False, reason=Reason.REQUEST_REFUSED)
        enrolled = side.effective(end.namespace).enrolment is not Enrolment.NONE
        return Half(direction, allowed=True, reason=Reason.NOT_CLOSED if enrolled else Reason.NOT_ENROLLED)
    names = side.kinds.all[target].names
    point = dimensions.point(request)
    matching = [rule for rule, bits in stated if bits >> other & 1 and diagram.holds(says(rule, names), point)]
    return _outcome(side, direction, matching)


def _outcome(side: Side, direction: Direction, matching: Sequence[EffectiveRule]) -> Half:
    """Deny wins over Allow, Allow over the default; what is always open is not asked."""
    for rule in matching:
        if rule.builtin:
            return Half(direction, allowed=True, reason=Reason.ALLOWED_BUILTIN, rule=rule.ref)
    for rule in matching:
        if rule.action is Action.DENY:
            return Half(direction, allowed=False, reason=Reason.DENIED_BY_RULE, rule=rule.ref)
    for rule in matching:
        if side.allows(rule):
            inside = is_inside(rule.ref)
            reason = Reason.ALLOWED_INSIDE if inside else Reason.ALLOWED_BY_RULE
            return Half(direction, allowed=True, reason=reason, rule=None if inside else rule.ref)
    if matching:
        return Half(direction, allowed=False, reason=Reason.RULE_SUSPENDED, rule=matching[0].ref)
    return Half(direction, allowed=False, reason=Reason.NO_RULE_ALLOWS)
