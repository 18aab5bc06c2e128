"""What of the requests that a question names may pass on one port, and which rules say so."""

from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.model.effective import Direction
from ringfence.model.requests import Opaque, Request
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.policy import tunnels
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, intersect
from ringfence.policy.decide import Outcome
from ringfence.policy.reasoning import points, saying
from ringfence.policy.reasoning.pieces import Between


@dataclass(frozen=True, slots=True)
class About:
    """What a question is about: a port (a member of algebra.ports.Ports) and what is sent (reasoning.points.named)."""

    port: tuple[int, int]
    sent: Request | Opaque | None = None
    told: frozenset[str] | None = None

    @property
    def request(self) -> Request | None:
        """The request, as far as it is told."""
        return self.sent if isinstance(self.sent, Request) else None

    def of(self, requests: Diagram) -> Diagram:
        """Those of ``requests`` that are asked about, by what the question leaves free."""
        return points.named(requests, self.port, self.sent, self.told)


@dataclass(frozen=True, slots=True)
class Passing:
    """``requests`` may be sent, of those that are asked about: all (True), none, or some.

    ``verdict`` allows if any may; its rules are those that allow the first of them, or deny. ``unknown`` says that
    none surely may, and that what one end says rests on the address of a pod that is not known: no verdict then.
    """

    requests: Diagram
    verdict: Verdict
    unknown: bool


def passing(both: Between, asked: About) -> Passing:
    """The answer to a question about the calls between two ends."""
    open_ = asked.of(both.allowed)
    unsure = (each.requests for half in (both.egress, both.ingress) for each in half if each.outcome is None)
    unknown = open_ is NOTHING and any(asked.of(each) is not NOTHING for each in unsure)
    return Passing(open_, Verdict(_half(both, Direction.EGRESS, asked), _half(both, Direction.INGRESS, asked)), unknown)


def told(both: Between, requests: Diagram, asked: About) -> tuple[str, ...]:
    """What may be sent (``requests`` of ``passing``) in words, in terms of the rules that allow it."""
    rules = [each.rule for each in both.ingress if each.rule is not None and each.outcome and each.outcome.allowed]
    rules = list(map(tunnels.told_apart, rules)) if both.apart else rules
    left = (each for rule in rules if (each := points.without_token(rule, asked.request)) is not None)
    return saying.sentences(requests, [asked.of(part) for rule in left for part in saying.written(rule, both.names)])


def _half(both: Between, direction: Direction, asked: About) -> Half:
    """What one end says of what is asked about: of what passes where anything does, else why nothing does."""
    found = list(_outcomes(both, direction, asked))
    open_ = asked.of(both.allowed)
    for part, outcome in found:
        if outcome.allowed and (open_ is NOTHING or intersect(part, open_) is not NOTHING):
            some = outcome.reason is Reason.ALLOWED_BY_RULE and part is not EVERYTHING
            return Half(direction, True, Reason.ALLOWED_FOR_REQUESTS if some else outcome.reason, outcome.rule)
    outcome = next(iter(found), (NOTHING, Outcome(allowed=False, reason=Reason.NO_RULE_ALLOWS)))[1]
    return Half(direction, outcome.allowed, outcome.reason, outcome.rule)


def _outcomes(both: Between, direction: Direction, asked: About) -> Iterator[tuple[Diagram, Outcome]]:
    for piece in both.half(direction):
        part = asked.of(piece.requests)
        if piece.outcome is not None and part is not NOTHING:
            yield part, piece.outcome
