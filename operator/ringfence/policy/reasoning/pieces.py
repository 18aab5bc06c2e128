"""All that one end may send to another, in pieces of which the same rule decides: ``decide`` for every request at once.

It is reached by sets, where ``decide`` asks one question; the tests hold the two against each other. Not in the pieces
are requests that a proxy refuses and those that can be read in two ways where a rule looks (ADR 181), unless what is
told of the request says already that it is one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.requests import Request
from ringfence.model.resources import MTLS, Action, Mode
from ringfence.model.verdict import Reason
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import decide, ends, requests, tunnels
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, cube, intersect, subtract, union
from ringfence.policy.algebra.ports import NO_NAMES, Names, Ports
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Effective, Outcome
from ringfence.policy.ends import End
from ringfence.policy.reasoning import sent
from ringfence.policy.reasoning.kinds import names_of
from ringfence.policy.reasoning.points import says
from ringfence.policy.reasoning.side import open_to_tunnels
from ringfence.policy.transport import transport_of

_HTTP: Final = cube([(dimensions.TRAFFIC, dimensions.HTTP)])


_ALLOWING: Final = frozenset({Reason.ALLOWED_BUILTIN, Reason.ALLOWED_INSIDE, Reason.ALLOWED_BY_RULE})


@dataclass(frozen=True, slots=True)
class Piece:
    """Requests of which one end says the same for the same reason; None where that rests on an unknown address.

    ``rule`` is the rule that decides, None where none does.
    """

    requests: Diagram
    outcome: Outcome | None
    rule: EffectiveRule | None = None


@dataclass(frozen=True, slots=True)
class Between:
    """What both ends say of all that one may send to the other. The pieces of each end are disjoint and everything.

    ``names`` are those that the target gives to its ports. ``apart``: the target tells CONNECT apart.
    """

    egress: tuple[Piece, ...]
    ingress: tuple[Piece, ...]
    names: Names
    apart: bool = False

    def half(self, direction: Direction) -> tuple[Piece, ...]:
        """The pieces of one end."""
        return self.ingress if direction is Direction.INGRESS else self.egress

    @property
    def allowed(self) -> Diagram:
        """What both ends surely let pass."""
        return intersect(_allowed(self.egress), _allowed(self.ingress))


def _allowed(half: Iterable[Piece]) -> Diagram:
    return union(each.requests for each in half if each.outcome is not None and each.outcome.allowed)


def at(half: Iterable[Piece], point: Mapping[str, Any]) -> Outcome | None:
    """What one end says of a whole request (algebra.dimensions.point); None where it cannot tell."""
    return next(each.outcome for each in half if diagram.holds(each.requests, point))


def between(
    world: World,
    effective: Effective,
    source: End,
    target: End,
    *,
    plaintext: bool = False,
    told: Request | None = None,
    whole: bool = False,
) -> Between:
    """What ``source`` may send to ``target``, as ``decide`` says of each request with the same arguments.

    ``told`` is what is known of every request that is asked about, with the defaults of Request for the rest (so where
    it has tokens, all have them); with ``whole`` it is the only one, and the pieces depend on ports alone.
    """
    source, target = ends.locate(world, source), ends.locate(world, target)
    names = names_of(target) if isinstance(target, Workload) else NO_NAMES

    def half(direction: Direction, governed: End, other: End) -> tuple[Piece, ...]:
        if not isinstance(governed, Workload) or governed.host_network:
            return (Piece(EVERYTHING, Outcome(allowed=True, reason=Reason.NOT_GOVERNED)),)
        policy = effective(governed.namespace)
        ingress = direction is Direction.INGRESS
        unproven = plaintext and ingress and transport_of(policy, governed.labels) is MTLS.STRICT
        known = told if ingress else None
        return _half(_Calls(world, direction, governed, other, names, unproven, known, whole, apart), policy)

    apart = told is not None and told.tunnel
    if isinstance(target, Workload) and not target.host_network:
        apart |= any(rule.requests is not None and rule.requests.tunnels for rule in effective(target.namespace).rules)
    return Between(half(Direction.EGRESS, source, target), half(Direction.INGRESS, target, source), names, apart)


@dataclass(frozen=True, slots=True)
class _Calls:
    """All calls between two ends, as one of them sees them."""

    world: World
    direction: Direction
    governed: Workload
    other: End
    names: Names
    unproven: bool
    told: Request | None
    whole: bool
    apart: bool

    @property
    def tunnel(self) -> bool:
        """Whether all that is asked about is CONNECT."""
        return self.told is not None and self.told.tunnel

    def names_of(self, rule: EffectiveRule) -> Diagram:
        """The requests that a rule names."""
        if self.apart:
            rule = tunnels.told_apart(rule)
        return says(rule, self.names, self.told if self.whole else None, self.told)


@dataclass(slots=True)
class _Pieces:
    """Pieces that are cut off, one after the other, from what no earlier one holds."""

    rest: Diagram = EVERYTHING
    found: list[Piece] = field(default_factory=list)

    def take(self, some: Diagram, outcome: Outcome, rule: EffectiveRule | None = None) -> None:
        """Cut off what is left of ``some``."""
        part = intersect(some, self.rest)
        if part is not NOTHING:
            self.found.append(Piece(part, outcome, rule))
            self.rest = subtract(self.rest, some)

    def by_rule(self, rule: EffectiveRule, calls: _Calls, reason: Reason) -> None:
        """Cut off what a rule decides."""
        outcome = Outcome(reason in _ALLOWING, reason, None if reason is Reason.ALLOWED_INSIDE else rule.ref)
        self.take(calls.names_of(rule), outcome, rule)


def _half(calls: _Calls, policy: EffectivePolicy) -> tuple[Piece, ...]:
    pieces = _Pieces()
    if policy.enrolment is Enrolment.NONE:
        pieces.take(EVERYTHING, Outcome(allowed=True, reason=Reason.NOT_ENROLLED))
        return tuple(pieces.found)
    if calls.told is not None and requests.refused(calls.told):
        pieces.take(_HTTP, Outcome(allowed=False, reason=Reason.REQUEST_REFUSED))
    if not policy.closed:
        if calls.tunnel:
            elsewhere = subtract(_HTTP, open_to_tunnels(policy, calls.governed.labels, calls.names))
            pieces.take(elsewhere, Outcome(allowed=False, reason=Reason.REQUEST_REFUSED))
        pieces.take(EVERYTHING, Outcome(allowed=True, reason=Reason.NOT_CLOSED))
        return tuple(pieces.found)
    worst, best = (_judged(calls, policy, pieces, hopeful=hopeful) for hopeful in (False, True))
    if worst == best:
        return worst
    sure, perhaps = _allowed(worst), _allowed(best)
    open_ = union((subtract(sure, perhaps), subtract(perhaps, sure)))
    known = (replace(each, requests=subtract(each.requests, open_)) for each in worst)
    return (
        *(each for each in known if each.requests is not NOTHING),
        *((Piece(open_, None),) * (open_ is not NOTHING)),
    )


def _judged(calls: _Calls, policy: EffectivePolicy, before: _Pieces, *, hopeful: bool) -> tuple[Piece, ...]:
    """Deny wins over Allow, Allow over the default; what is always open is not asked."""
    pieces = _Pieces(before.rest, list(before.found))
    governing = list(_governing(calls, policy, hopeful=hopeful))
    for rule in governing:
        if rule.builtin and calls.tunnel:
            none = intersect(calls.names_of(rule), _HTTP)
            pieces.take(none, Outcome(allowed=False, reason=Reason.NO_RULE_ALLOWS))
        if rule.builtin:
            pieces.by_rule(rule, calls, Reason.ALLOWED_BUILTIN)
    asked = [rule for rule in governing if rule.requests is not None and rule.suspended_by is None]
    seen = sent.looked_at(rule.requests for rule in asked) if not calls.whole else frozenset()
    for rule in asked:
        unclear = calls.told is not None and requests.unclear(calls.told, [rule.requests] if rule.requests else ())
        refused = _HTTP if unclear else sent.unread(rule.requests, seen)
        on_ports = cube([(dimensions.PORT, Ports.at(rule.ports, calls.names))])
        pieces.take(intersect(on_ports, refused), Outcome(allowed=False, reason=Reason.REQUEST_UNCLEAR))
    _by_rules([rule for rule in governing if not rule.builtin], calls, pieces)
    if calls.unproven:
        for each in _judged(replace(calls, unproven=False), policy, before, hopeful=hopeful):
            if each.outcome is not None and each.outcome.allowed:
                pieces.take(each.requests, Outcome(False, Reason.NEEDS_MUTUAL_TLS, each.outcome.rule))
    pieces.take(EVERYTHING, Outcome(allowed=False, reason=Reason.NO_RULE_ALLOWS))
    return tuple(pieces.found)


def _by_rules(rules: Sequence[EffectiveRule], calls: _Calls, pieces: _Pieces) -> None:
    """What rules decide that can be denied; of Allows those first that allow whatever is sent."""
    ordered = sorted(rules, key=lambda rule: rule.requests is not None)
    for rule in ordered:
        if rule.action is Action.DENY:
            pieces.by_rule(rule, calls, Reason.DENIED_BY_RULE)
    allows = [rule for rule in ordered if rule.action is Action.ALLOW]
    for rule in allows:
        if rule.suspended_by is None:
            inside = is_inside(rule.ref)
            pieces.by_rule(rule, calls, Reason.ALLOWED_INSIDE if inside else Reason.ALLOWED_BY_RULE)
    for rule in allows:
        if rule.suspended_by is not None:
            pieces.by_rule(rule, calls, Reason.RULE_SUSPENDED)


def _governing(calls: _Calls, policy: EffectivePolicy, *, hopeful: bool) -> Iterator[EffectiveRule]:
    """The enforced rules about both ends, on whatever port; what cannot be known counts for the call if ``hopeful``."""
    labels = calls.governed.labels
    listed = calls.direction is Direction.EGRESS and any(box.matches(labels) for box in policy.egress_listed)
    for rule in policy.rules:
        if rule.direction is not calls.direction or rule.mode is Mode.AUDIT or (listed and is_inside(rule.ref)):
            continue
        if rule.subject.matches(labels) and _names(rule, calls, unknown=hopeful == (rule.action is Action.ALLOW)):
            yield rule


def _names(rule: EffectiveRule, calls: _Calls, *, unknown: bool) -> bool:
    for peer in rule.peers:
        answer = decide.matches(peer, calls.other, calls.world, unproven=calls.unproven)
        if unknown if answer is None else answer:
            return True
    return False
