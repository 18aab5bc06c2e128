"""`ringfence can-i` about sets of ends (a zone, a namespace, a network, anyone): who may, and who may not."""

import argparse
import difflib
import ipaddress
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.cli import calls, layers, options, spoken, words
from ringfence.cli.console import Cell, Console, Output, Style
from ringfence.cli.problems import Usage
from ringfence.cli.world import Loaded
from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.errors import CannotTell
from ringfence.model.mesh import ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.net import LAST_PORT, PortSet
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.spans import Spans
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.model.world import Workload
from ringfence.policy import decide, ends, tunnels
from ringfence.policy.algebra import diagram
from ringfence.policy.algebra.diagram import NOTHING, Diagram
from ringfence.policy.algebra.ports import EVERY_PORT, Names, Ports, protocol_of
from ringfence.policy.algebra.values import Members
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End, Host
from ringfence.policy.reasoning import concerning, crowd, deciding, kinds, naming, points, saying, wording
from ringfence.policy.reasoning.concerning import Concerning, Ends
from ringfence.policy.reasoning.crowd import Group
from ringfence.policy.reasoning.kinds import OTHER
from ringfence.policy.reasoning.naming import Naming
from ringfence.policy.reasoning.side import Side

ANYONE: Final = "anyone"
FORMS: Final = f"zone:NAME, namespace:NAME, cidr:NETWORK or {ANYONE}"

_KINDS: Final = ("zone", "namespace", "cidr")
_MANY: Final = 8
_ANSWERS: Final = {True: Cell("allowed", Style.GOOD), False: Cell("denied", Style.BAD)}


def is_set(text: str) -> bool:
    """Whether an end of a question stands for many; raises Usage for a network that is none."""
    kind, colon, rest = text.partition(":")
    if kind == "cidr" and colon:
        _network(rest)
    return text == ANYONE or (bool(colon) and kind in _KINDS)


def _network(text: str) -> Spans:
    try:
        return Spans.of_networks((str(ipaddress.ip_network(text)),))
    except ValueError as error:
        raise Usage(f"cidr:{text} is no network: write one like cidr:10.0.0.0/8 ({error})") from error


@dataclass(frozen=True, slots=True)
class _End:
    """The kinds that an end stands for; ``there`` are those that exist, which the answer as a whole is about."""

    text: str
    all: Members
    there: Members
    within: Spans | None = None


@dataclass(frozen=True, slots=True)
class Crowds:
    """A question about sets of ends in a world."""

    loaded: Loaded
    effective: Effective
    services: Mapping[str, tuple[ServiceValue, ...]]

    def run(self, arguments: argparse.Namespace, console: Console) -> int:
        """Ask and answer: 0 where all may send something of what is asked about, 1 where none may, 2 else."""
        if arguments.plaintext:
            raise Usage("--plaintext is a question about one caller: name an identity")
        if arguments.source == arguments.target == ANYONE:
            raise Usage("name one of the ends: `ringfence graph` shows who may call whom")
        texts = (arguments.source, arguments.target)
        singles = {text: self._single(text, arguments, console) for text in texts if not is_set(text)}
        sources, targets = (self._meant(text, singles.get(text)) for text in texts)
        side = self._side(sources, targets, (arguments.port,) if isinstance(arguments.port, str) else ())
        source, target = (self._end(text, side, singles.get(text)) for text in texts)
        asked = self._asked(arguments, side)
        found = crowd.groups(side, source.all, target.all, asked)
        overall = _overall(found, source, target)
        told = _Told(side, Naming(side), self.loaded, source, target, asked)
        if console.output is not Output.TEXT:
            console.data(told.data(found, overall))
        else:
            told.table(found, console)
        if overall is None:
            console.error("cannot tell for all of them: some may and some may not")
        return {True: 0, False: 1, None: 2}[overall]

    def _side(self, sources: Ends, targets: Ends, ports: tuple[str, ...]) -> Side:
        """The world, in which ends are told apart as far as calls between these need it; ``ports`` are asked about."""
        world = self.loaded.world
        left = Concerning(world, self.effective, sources, targets)
        among = left.namespaces

        def http(pod: Workload) -> Hashable:
            called = targets.pods is None or pod.namespace in targets.pods
            return spoken.http_ports(ends.admitted(world, pod), self.services) if called else ()

        focus = kinds.Focus(among, sources.by_name | targets.by_name, ports, http if self.services else None)
        policies = {name: left.policy(name) for name in world.namespaces if among is None or name in among}
        return Side(world, left.policy, kinds.of([world], [policies], focus), matters=left.matters)

    def _single(self, text: str, arguments: argparse.Namespace, console: Console) -> calls.Asked:
        """The one end that is asked about beside many."""
        asked = calls.read(text, self.loaded.world, options.of_bare(arguments))
        if asked.remark:
            console.note(asked.remark)
        return asked

    def _meant(self, text: str, single: calls.Asked | None) -> Ends:
        """The ends that an end of the question may stand for."""
        kind, _, name = text.partition(":")
        if text == ANYONE:
            return concerning.EVERYONE
        if single is not None:
            return Ends.of(ends.locate(self.loaded.world, _inside(each)) for each in single.members)
        if kind == "cidr":
            return concerning.ADDRESSES
        known = self.loaded.world.namespaces.values()
        return Ends.in_namespaces(each.name for each in known if name == (each.zone if kind == "zone" else each.name))

    def _asked(self, arguments: argparse.Namespace, side: Side) -> crowd.Asked:
        protocol = Protocol(arguments.protocol) if arguments.protocol else None
        request = spoken.request(arguments)
        if request is not None and request.tokens:
            known = {key for name in self.loaded.world.namespaces for _, key, _ in self.effective(name).issuers}
            request = spoken.by_keys(request, known)
        if arguments.port is not None:
            spec = PortSpec(arguments.port, protocol=protocol or Protocol.TCP)
        elif protocol is not None or request is not None:
            spec = PortSpec(1, 65535, protocol or Protocol.TCP)
        else:
            spec = None

        def ports(names: Names) -> Ports:
            return EVERY_PORT if spec is None else Ports.at(PortSet.of([spec]), names)

        def http(target: int) -> Ports:
            end = side.ends[target] if self.services else None
            numbers = spoken.http_ports(end, self.services) if end is not None else ()
            return Ports.at(PortSet.of([PortSpec(number) for number in numbers]), Names()) if numbers else Ports()

        return crowd.Asked(ports, http, request, spoken.told(arguments))

    # --- who is meant ------------------------------------------------------------------------------------------------

    def _end(self, text: str, side: Side, single: calls.Asked | None) -> _End:
        kind, _, name = text.partition(":")
        if single is not None:
            found = Members.of(number for each in single.members for number in _numbers(side, _inside(each)))
            return _End(single.text, found, found)
        if text == ANYONE:
            everyone = Members(side.there)
            return _End(text, everyone, everyone)
        if kind == "cidr":
            found = Members.of(_of_network(side, _network(name)))
            return _End(text, found, found, _network(name))
        numbers = self._of_zone(name, side) if kind == "zone" else self._of_namespace(name, side)
        exist = Members.of(number for number in numbers if self._exists(number, side))
        everyone = Members.of(numbers)
        return _End(text, everyone, everyone if exist.empty else exist)

    def _of_zone(self, name: str, side: Side) -> list[int]:
        world = self.loaded.world
        zones = sorted({each.zone for each in world.namespaces.values() if each.zone})
        if name not in zones:
            raise CannotTell(f"no namespace is in zone {name!r}{_near(name, zones)}")
        own = (each.name for each in world.namespaces.values() if each.zone == name)
        found = [
            number for each in own for number in side.kinds.by_namespace.get(each, ()) if _identified(side, number)
        ]
        if not any(self._exists(number, side) for number in found):
            raise CannotTell(f"zone {name} has no identities")
        return found

    def _of_namespace(self, name: str, side: Side) -> list[int]:
        known = self.loaded.world.namespaces
        if name not in known:
            raise CannotTell(f"there is no namespace {name!r}{_near(name, known)}")
        return [number for number in side.kinds.by_namespace[name] if side.ends[number] is not None]

    def _exists(self, number: int, side: Side) -> bool:
        kind = side.kinds.all[number]
        named = dict(self.effective(kind.namespace).service_accounts)
        return kind.account in named if _identified(side, number) else kind.known


def _identified(side: Side, number: int) -> bool:
    end = side.ends[number]
    return isinstance(end, Workload) and LABEL_IDENTITY in end.labels


def _inside(member: calls.Member) -> End:
    """An end of many; raises Usage for the name of a host, which no kind of ends has."""
    if isinstance(member.end, Host):
        raise Usage(f"host:{member.end.name} cannot be asked about beside many ends: name one caller")
    return member.end


def _numbers(side: Side, end: ends.End) -> Iterable[int]:
    """The kinds of one end; of a pod whose address is not known those for every address that matters.

    Of an identity without pods they are those of pods with no labels of their own.
    """
    end = ends.locate(side.world, end)
    if not isinstance(end, Workload) or end.ips or end.host_network:
        return (kinds.number_of(side.kinds, end, side.world),)
    account = end.labels.get(LABEL_IDENTITY, end.service_account)
    names = kinds.names_of(end)
    alike = [
        number
        for number in side.kinds.by_namespace.get(end.namespace, ())
        if account in (kind := side.kinds.all[number]).accounts and kind.region.matches(end.labels)
    ]
    found = [number for number in alike if side.kinds.all[number].names == names] or alike
    return found or (kinds.number_of(side.kinds, end, side.world),)


def _of_network(side: Side, asked: Spans) -> Iterable[int]:
    for number in range(side.kinds.first_address, len(side.kinds.all)):
        span = side.kinds.all[number].span
        if side.ends[number] is not None and span is not None and not (Spans((span,)) & asked).empty:
            yield number


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.75)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _overall(found: Iterable[Group], source: _End, target: _End) -> bool | None:
    """Whether each that exists may send something to each; None where some may and some may not."""
    answers = {
        group.requests is not NOTHING
        for group in found
        if group.sources.bits & source.there.bits and group.targets.bits & target.there.bits
    }
    return answers.pop() if len(answers) == 1 else None


# --- in words --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """Finds words for groups."""

    side: Side
    naming: Naming
    loaded: Loaded
    source: _End
    target: _End
    asked: crowd.Asked

    def table(self, found: Iterable[Group], console: Console) -> None:
        """A line for each group."""
        console.print(Cell(f"{self.source.text} -> {self.target.text}", Style.STRONG))
        rows = []
        for group in found:
            allowed = group.requests is not NOTHING
            texts = self._calls(group) if allowed else ("nothing",)
            shown = "; ".join(texts[:_MANY]) + (f"; and {len(texts) - _MANY} more" if len(texts) > _MANY else "")
            who = _some(self._names(group.sources, self.source)) if is_set(self.source.text) else ""
            whom = _some(self._names(group.targets, self.target)) if is_set(self.target.text) else ""
            rows.append((who, whom, _ANSWERS[allowed], self._because(group)[0], shown))
        shown_columns = [place for place in range(5) if place > 1 or any(row[place] for row in rows)]
        headers = ("FROM", "TO", "ANSWER", "BECAUSE", "CALLS")
        console.table([headers[i] for i in shown_columns], [[row[i] for i in shown_columns] for row in rows])

    def data(self, found: Iterable[Group], overall: bool | None) -> dict[str, Any]:
        """The same for programs."""
        return {
            "from": self.source.text,
            "to": self.target.text,
            "allowed": overall,
            "groups": [self._group(group) for group in found],
        }

    def _group(self, group: Group) -> dict[str, Any]:
        because, half = self._because(group)
        return {
            "from": list(self._names(group.sources, self.source)),
            "to": list(self._names(group.targets, self.target)),
            "allowed": group.requests is not NOTHING,
            "requests": wording.data(group.requests, self.side.kinds.named.ports),
            "texts": list(self._calls(group)),
            "direction": str(half.direction),
            "reason": str(half.reason),
            "rule": words.rule_data(half.rule, half.direction, self.loaded),
            "because": because,
        }

    def _calls(self, group: Group) -> tuple[str, ...]:
        written = crowd.parts(self.side, group.sources.witness(), group.targets.witness(), self.asked)
        return saying.sentences(group.requests, written, self.side.kinds.named.ports)

    def _names(self, members: Members, end: _End) -> tuple[str, ...]:
        if end.within is None:
            return self.naming.names(members)
        spans = Spans.of(span for number in members if (span := self.side.kinds.all[number].span) is not None)
        return tuple(naming.addresses(spans & end.within, self.side))

    def _half(self, group: Group, request: Mapping[str, Any]) -> Half:
        """The end that decides of one of the calls. Of what no rule is asked about ``decide`` knows."""
        source, target = group.sources.witness(), group.targets.witness()
        halves = {each: deciding.half(self.side, each, source, target, request, says=self._says) for each in Direction}
        known = layers.deciding(Verdict(halves[Direction.EGRESS], halves[Direction.INGRESS]))
        both = (self.side.ends[source], self.side.ends[target])
        kind, number = request.get("port", (0, 0))
        protocol = protocol_of(kind)
        if group.requests is not NOTHING or self.asked.request is None or protocol is None:
            return known
        if request.get("traffic", "HTTP") != "HTTP" or None in both or number > LAST_PORT:
            return known
        call = (self.side.world, self.side.effective, both[0], both[1], protocol, number)
        said = decide.decide(*call, request=self.asked.request).deciding  # type: ignore[arg-type]
        return said if said.reason in {Reason.REQUEST_REFUSED, Reason.REQUEST_UNCLEAR} else known

    def _says(self, rule: EffectiveRule, names: Names) -> Diagram:
        asked = self.asked.request
        return points.says(tunnels.told_apart(rule) if asked is not None and asked.tunnel else rule, names, None, asked)

    def _example(self, requests: Diagram, target: int) -> dict[str, Any]:
        """One of the calls to a target that a group is about (algebra.dimensions.point)."""
        found = dict(diagram.witness(requests) or {})
        ports = self.asked.ports(self.side.kinds.all[target].names)
        http = ports & self.asked.http(target)
        if "port" not in found and not ports.empty:
            found["port"] = (ports if http.empty or self.asked.request is None else http).witness()
        if "port" in found and found["port"] not in self.asked.http(target):
            return {**found, "traffic": "bytes"}
        if self.asked.request is None:
            return found
        whole = points.point(self.asked.request)
        told = frozenset(whole) if self.asked.told is None else self.asked.told
        return {**{name: each for name, each in whole.items() if name in told}, **found}

    def _because(self, group: Group) -> tuple[str, Half]:
        """Why, of one of the calls; others of the same group may have other reasons."""
        source, target = group.sources.witness(), group.targets.witness()
        request = self._example(group.requests, target)
        half = self._half(group, request)
        end = self.side.ends[source if half.direction is Direction.EGRESS else target]
        assert end is not None  # noqa: S101 (only those that are there are asked about)
        if isinstance(end, Workload) and end.namespace == OTHER:
            return f"{half.direction}: nothing governs pods there", half
        return f"{half.direction}: {words.because(half, end, self.loaded)}", half


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return ", ".join(names[:_MANY]) + more
