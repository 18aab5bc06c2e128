"""Asks `decide` about every pair of those that two ends stand for, on one port or on all that matter."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ringfence.cli import port_table, spoken
from ringfence.cli.calls import Asked, Member, caller
from ringfence.cli.port_table import Ports
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.errors import CannotTell
from ringfence.model.mesh import ServiceValue
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked as Sent
from ringfence.model.requests import Opaque, Request
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.verdict import Half, Verdict
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy import decide, ends, explain
from ringfence.policy.algebra import ports
from ringfence.policy.algebra.diagram import NOTHING, Diagram, Split
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Host
from ringfence.policy.nearest import Near
from ringfence.policy.reasoning import otherwise, passing, pieces
from ringfence.policy.reasoning.otherwise import Otherwise
from ringfence.policy.reasoning.passing import About
from ringfence.policy.reasoning.pieces import Between


@dataclass(frozen=True, slots=True)
class Answer:
    """What holds for one pair of members on one port. ``unknown`` says why there is no verdict.

    ``passing`` are the requests, of those that were asked about, that may be sent: all of them (True), none, or some.
    """

    source: Member
    target: Member
    verdict: Verdict | None
    unknown: str = ""
    passing: Diagram = NOTHING

    @property
    def allowed(self) -> bool | None:
        return self.verdict.allowed if self.verdict else None


@dataclass(frozen=True, slots=True)
class Row:
    """The answers of all pairs on ``port``; with ``last`` they hold for all ports up to it. ``shown`` names them.

    ``port`` is None where they hold for every port that nothing names, ``protocol`` where they do for all protocols.
    """

    shown: str
    protocol: Protocol | None
    port: int | str | None
    last: int | None
    answers: tuple[Answer, ...]

    @property
    def allowed(self) -> bool | None:
        """What all agree on; None when they differ or one cannot be told."""
        found = {answer.allowed for answer in self.answers}
        return found.pop() if len(found) == 1 else None

    @property
    def passing(self) -> Diagram | None:
        """The requests that all let pass, where all let the same pass; else None."""
        found = {answer.passing for answer in self.answers}
        return found.pop() if self.allowed is not None and len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Question:
    """May ``source`` call ``target``, with ``request`` if one is given? ``services`` say which ports speak HTTP.

    ``told`` are the dimensions of the request of which anything is said, the others being free; None: of all.
    """

    world: World
    effective: Effective
    source: Asked
    target: Asked
    plaintext: bool = False
    request: Request | None = None
    services: Mapping[str, tuple[ServiceValue, ...]] = field(default_factory=dict)
    told: frozenset[str] | None = None
    _between: dict[tuple[str, str, bool], Between] = field(default_factory=dict, init=False, compare=False)

    def ask(self, protocol: Protocol, port: int | str) -> Row:
        """About one port, by number or by name."""
        return self._row(f"{protocol} {port}", protocol, port, None)

    def every(self, protocol: Protocol | None) -> list[Row]:
        """A row for each range of ports about which all rules say the same; the last is about all other ports."""
        parts = [
            part for part in port_table.cut(self._named(), self._containers()) if protocol in {None, part.protocol}
        ]
        rows = [self._part(part) for part in parts if not part.rest]
        rest = [self._part(part) for part in parts if part.rest]
        if len(rest) > 1 and all(_same(rest[0], row) for row in rest[1:]):
            rest = [Row("every other port", None, None, None, rest[0].answers)]
        return rows + rest

    def unknown_names(self) -> tuple[str, ...]:
        """Names of ports that rules use and no container of the target has."""
        known = {port.name for port in self._containers()}
        return tuple(sorted({each.name for one in self._named() for each in one.names} - known))

    def located(self, member: Member) -> ends.Called:
        """The pod that has a member's address, if one has."""
        return ends.called(self.world, member.end)

    def hints(self, half: Half, answer: Answer, row: Row) -> tuple[str, ...]:
        """What came closest where a half denies a call on one port because nothing allows it."""
        if row.port is None or row.protocol is None:
            return ()
        return self._judged(answer, row.protocol, row.port).hints(half)

    def near(self, half: Half, answer: Answer, row: Row) -> tuple[tuple[Near, str], ...]:
        """The rules that came closest to the other answer of a half, and in what they differ."""
        if row.port is None or row.protocol is None:
            return ()
        return self._judged(answer, row.protocol, row.port).near(half)

    def conditional(self, answer: Answer, row: Row) -> tuple[EffectiveRule, ...]:
        """The rules that let only some requests pass where no one was named and the call is allowed, Denies first."""
        if (
            (self.request is not None and self.told is None)
            or not answer.allowed
            or row.port is None
            or row.protocol is None
        ):
            return ()
        return self._judged(answer, row.protocol, row.port).conditional()

    def _judged(self, answer: Answer, protocol: Protocol, port: int | str) -> explain.Judged:
        asked = self._asked(answer.target, protocol, port)
        call = (caller(answer.source), answer.target.end, protocol, port)
        return explain.Judged(self.world, self.effective, *call, asked, self.told)

    def _asked(self, target: Member, protocol: Protocol, port: int | str) -> Sent:
        end = self.located(target)
        sent = self.request
        if isinstance(end, Workload):
            sent = spoken.with_issuers(sent, end, self.effective(end.namespace))
        return spoken.asked(end, protocol, port, sent, self.services)

    def _part(self, part: Ports) -> Row:
        row = self._row(str(part), part.protocol, part.first, part.last)
        return replace(row, port=None, last=None) if part.rest else row

    def _row(self, shown: str, protocol: Protocol, port: int | str, last: int | None) -> Row:
        pairs = itertools.product(self.source.members, self.target.members)
        return Row(shown, protocol, port, last, tuple(self._answer(a, b, protocol, port) for a, b in pairs))

    def _answer(self, source: Member, target: Member, protocol: Protocol, port: int | str) -> Answer:
        try:
            sent = self._asked(target, protocol, port)
            one = isinstance(sent, Opaque) or (sent is not None and self.told is None)
            if one or not isinstance(self.located(target), Workload):
                verdict = self._decided(source, target, protocol, port, sent)
                return Answer(source, target, verdict, passing=verdict.allowed)
            return self._some(source, target, protocol, port)
        except CannotTell as error:
            return Answer(source, target, None, str(error))

    def _decided(self, source: Member, target: Member, protocol: Protocol, port: int | str, sent: Sent) -> Verdict:
        call = (self.world, self.effective, caller(source), target.end, protocol, port)
        return decide.decide(*call, plaintext=self.plaintext, request=sent)

    def _some(self, source: Member, target: Member, protocol: Protocol, port: int | str) -> Answer:
        """The answer about all requests that have the parts that the question names."""
        asked = self._about(target, protocol, port)
        found = passing.passing(self.between(source, target, asked.request), asked)
        # Without a request `decide` says for which policies in mode Audit it would be another, so it is asked first.
        if self.request is None and (found.unknown or found.verdict.allowed):
            return Answer(source, target, self._decided(source, target, protocol, port, None), passing=found.requests)
        if found.unknown:
            self._decided(source, target, protocol, port, None)
            raise CannotTell("the answer depends on the address of a pod, which is not known")
        return Answer(source, target, found.verdict, passing=found.requests)

    def _about(self, target: Member, protocol: Protocol, port: int | str) -> About:
        number = port if isinstance(port, int) else ends.port_number(self.located(target), port, protocol)
        return About(ports.member(protocol, number), self._asked(target, protocol, port), self.told)

    def connected(self, answer: Answer, row: Row, *, plaintext: bool) -> Verdict:
        """What holds for a connection on one port, whatever is sent. Raises CannotTell."""
        assert row.port is not None and row.protocol is not None  # noqa: S101, PT018 (the caller has seen to it)
        call = (self.world, self.effective, caller(answer.source), answer.target.end, row.protocol, row.port)
        return decide.decide(*call, plaintext=plaintext)

    def sent(self, answer: Answer, row: Row) -> Sent:
        """What the target's proxy sees on one port (spoken.asked)."""
        assert row.port is not None and row.protocol is not None  # noqa: S101, PT018 (as above)
        return self._asked(answer.target, row.protocol, row.port)

    def without(self, half: Half, answer: Answer, row: Row) -> Otherwise | None:
        """What would hold without the rule that decides a half, where one does."""
        governed = self.located(answer.source if half.direction is Direction.EGRESS else answer.target)
        target = answer.target.end
        if row.port is None or row.protocol is None or not isinstance(governed, Workload) or isinstance(target, Host):
            return None
        about = self._about(answer.target, row.protocol, row.port)
        return otherwise.without(
            self.world,
            self.effective,
            caller(answer.source),
            target,
            half,
            about,
            answer.passing,
            namespace=governed.namespace,
            plaintext=self.plaintext,
        )

    def sentences(self, answer: Answer, row: Row) -> tuple[str, ...]:
        """The requests that may be sent in words, where some may and some may not."""
        if not isinstance(answer.passing, Split) or row.port is None or row.protocol is None:
            return ()
        asked = self._about(answer.target, row.protocol, row.port)
        return passing.told(self.between(answer.source, answer.target, asked.request), answer.passing, asked)

    def between(self, source: Member, target: Member, sent: Request | None) -> Between:
        """What both ends say of all that one may send to the other, as far as it is told; worked out once."""
        key = (source.shown, target.shown, sent is None)
        if key not in self._between:
            if isinstance(target.end, Host):
                raise CannotTell(f"{target.shown}: what may be sent to a host by its name is not known beforehand")
            call = (self.world, self.effective, caller(source), target.end)
            self._between[key] = pieces.between(*call, plaintext=self.plaintext, told=sent, whole=self.told is None)
        return self._between[key]

    def _named(self) -> list[PortSet]:
        """The ports of every rule that may have a say at either end; what is always open is left out."""
        found = [*self._rules(self.source, Direction.EGRESS), *self._rules(self.target, Direction.INGRESS)]
        ports = [rule.ports for rule in found]
        if any(rule.requests is not None for rule in found):
            http = {n for each in self.target.members for n in spoken.http_ports(self.located(each), self.services)}
            ports += [PortSet.of([PortSpec(number)]) for number in sorted(http)]
        return ports

    def _rules(self, asked: Asked, direction: Direction) -> Iterator[EffectiveRule]:
        for member in asked.members:
            end = self.located(member)
            if not isinstance(end, Workload) or end.host_network:
                continue
            for rule in self.effective(end.namespace).rules:
                if rule.direction is direction and not rule.builtin and rule.subject.matches(end.labels):
                    yield rule

    def _containers(self) -> list[ContainerPort]:
        located = (self.located(member) for member in self.target.members)
        return [port for end in located if isinstance(end, Workload) for port in end.ports]


def _same(one: Row, other: Row) -> bool:
    """Whether two rows say the same for the same reasons."""
    return [(a.verdict, a.unknown) for a in one.answers] == [(b.verdict, b.unknown) for b in other.answers]
