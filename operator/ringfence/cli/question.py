"""Asks `decide` about every pair of those that two ends stand for, on one port or on all that matter."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ringfence.cli import port_table, spoken
from ringfence.cli.calls import Asked, Member
from ringfence.cli.port_table import Ports
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.errors import CannotTell
from ringfence.model.mesh import ServiceValue
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked as Sent
from ringfence.model.requests import Request
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.verdict import Half, Verdict
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy import decide, ends, explain
from ringfence.policy.decide import Effective


@dataclass(frozen=True, slots=True)
class Answer:
    """What holds for one pair of members on one port. ``unknown`` says why there is no verdict."""

    source: Member
    target: Member
    verdict: Verdict | None
    unknown: str = ""

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


@dataclass(frozen=True, slots=True)
class Question:
    """May ``source`` call ``target``, with ``request`` if one is given? ``services`` say which ports speak HTTP."""

    world: World
    effective: Effective
    source: Asked
    target: Asked
    plaintext: bool = False
    request: Request | None = None
    services: Mapping[str, tuple[ServiceValue, ...]] = field(default_factory=dict)

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

    def located(self, member: Member) -> Workload | ends.Address:
        """The pod that has a member's address, if one has."""
        return ends.locate(self.world, member.end)

    def hints(self, half: Half, answer: Answer, row: Row) -> tuple[str, ...]:
        """What came closest where a half denies a call on one port because nothing allows it."""
        if row.port is None or row.protocol is None:
            return ()
        source, target = answer.source.end, answer.target.end
        asked = self._asked(answer.target, row.protocol, row.port)
        return explain.hints(self.world, self.effective, half, source, target, row.protocol, row.port, asked)

    def conditional(self, answer: Answer, row: Row) -> tuple[EffectiveRule, ...]:
        """The rules that let only some requests pass where none was named and the call is allowed, Denies first."""
        if self.request is not None or not answer.allowed or row.port is None or row.protocol is None:
            return ()
        source, target = answer.source.end, answer.target.end
        return explain.conditional(self.world, self.effective, source, target, row.protocol, row.port)

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
            ends_ = (source.end, target.end)
            asked = self._asked(target, protocol, port)
            verdict = decide.decide(
                self.world, self.effective, *ends_, protocol, port, plaintext=self.plaintext, request=asked
            )
        except CannotTell as error:
            return Answer(source, target, None, str(error))
        return Answer(source, target, verdict)

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
