"""Who of many may call whom of many, and what may be sent: sets of ends that are answered alike."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.net import PortSet
from ringfence.model.requests import Request, Requests
from ringfence.model.resources import Action
from ringfence.model.world import Enrolment, Workload
from ringfence.policy import requests, tunnels
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, cube, intersect, split, subtract, union
from ringfence.policy.algebra.ports import EVERY_PORT, NO_NAMES, Names, Ports
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning import points, saying, sent
from ringfence.policy.reasoning.leaving import at
from ringfence.policy.reasoning.side import SOURCE, Side, Stated, open_to_tunnels

_NO_PORT: Final = Ports()

_Spans = tuple[tuple[int, int, int], ...]
_Leaving = frozenset[tuple[Diagram, int]]
#: What rules say, by its place, with the bits of those whom they name.
_Said = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Any of ``sources`` may send any of ``requests`` to any of ``targets``, and nothing else that was asked about."""

    sources: Members
    targets: Members
    requests: Diagram


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about calls: the ports (by the names that a target's have), and what is sent.

    ``http`` gives the ports at a target (a kind) that speak HTTP: what is sent elsewhere are bytes. ``request`` and
    ``told`` as points.named has them, None for any request.
    """

    ports: Callable[[Names], Ports] = lambda _: EVERY_PORT
    http: Callable[[int], Ports] = lambda _: _NO_PORT
    request: Request | None = None
    told: frozenset[str] | None = None

    @property
    def one(self) -> Request | None:
        """The only request that is asked about, None where there are more."""
        return self.request if self.told is None else None


def groups(side: Side, sources: Members, targets: Members, asked: Asked) -> tuple[Group, ...]:
    """Every call from any of ``sources`` to any of ``targets`` once: what passes first, then who may send nothing.

    Both are kinds of ends that are there on this side.
    """
    crowd = _Crowd(side, sources, asked)
    alike: dict[Diagram, int] = defaultdict(int)
    for target in targets:
        alike[crowd.calls(target)] |= 1 << target
    within = split(side.axes.source, [(sources, EVERYTHING)])
    rows, missing = [], defaultdict[int, int](int)
    for some, bits in alike.items():
        calls = intersect(some, within)
        rows.append((Members(bits), calls))
        missing[sources.bits & ~_callers(calls, sources)] |= bits
    passing = split(side.axes.target, rows)
    found = [
        Group(Members(who.bits & sources.bits), Members(whom.bits & targets.bits), what)
        for whom, rest in at(passing, side.axes.target)
        for who, what in at(rest, side.axes.source)
    ]
    none = [Group(Members(who), Members(whom), NOTHING) for who, whom in sorted(missing.items()) if who]
    return (*found, *none)


def parts(side: Side, source: int, target: int, asked: Asked) -> tuple[Diagram, ...]:
    """What each rule lets the target take from the source, in the parts in which it is written, as Group.requests."""
    crowd = _Crowd(side, Members(1 << source), asked)
    names = side.kinds.all[target].names
    stated = crowd.stated(target) or ()
    rules = [rule for rule, bits in stated if bits >> source & 1 and (rule.builtin or side.allows(rule))]
    if asked.one is not None:
        return tuple(crowd.asked_of(points.says(rule, names, asked.one), target) for rule in rules)
    left = (each for rule in rules if (each := points.without_token(rule, asked.request)) is not None)
    return tuple(crowd.asked_of(part, target) for rule in left for part in saying.written(rule, names))


def _callers(calls: Diagram, sources: Members) -> int:
    if not isinstance(calls, diagram.Split) or calls.dimension.name != SOURCE:
        return 0 if calls is NOTHING else sources.bits
    found = 0
    for who, _ in calls.rows:
        found |= who.bits
    return found


class _Says(NamedTuple):
    """All of a rule that tells which requests it lets pass, whoever sends them."""

    builtin: bool
    action: Action
    ports: PortSet
    requests: Requests | None
    tunnels: bool
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class _Crowd:
    """Works out calls of ``sources``; most targets have rules that say the same to these, which is done once."""

    side: Side
    sources: Members
    asked: Asked
    #: The place of what each rule says, None where it is not in force, and a rule that says it.
    _places: dict[EffectiveRule, int | None] = field(default_factory=dict)
    _by_words: dict[_Says, int] = field(default_factory=dict)
    _saying: list[EffectiveRule] = field(default_factory=list)
    _opened: dict[tuple[frozenset[tuple[int, int]], Names], Diagram] = field(default_factory=dict)
    _passing: dict[tuple[Diagram, _Leaving, _Spans, _Spans], Diagram] = field(default_factory=dict)

    def calls(self, target: int) -> Diagram:
        """Source and request of every call to a target that was asked about and passes."""
        names = self.side.kinds.all[target].names
        by_rest: dict[Diagram, int] = {}
        for said, sources in self._leaving.items():
            rest = self._let_out(said, target, names)
            by_rest[rest] = by_rest.get(rest, 0) | sources
        let_in = self._let_in(target, names)
        if not isinstance(self.side.ends[target], Workload):
            return self.asked_of(self._met(let_in, by_rest), target)
        # Spans are faster to look up than the sets of ports around them.
        key = (let_in, frozenset(by_rest.items()), self.asked.ports(names).key, self.asked.http(target).key)
        if key not in self._passing:
            self._passing[key] = self.asked_of(self._met(let_in, by_rest), target)
        return self._passing[key]

    def _met(self, let_in: Diagram, by_rest: Mapping[Diagram, int]) -> Diagram:
        leaving = split(self.side.axes.source, [(Members(bits), rest) for rest, bits in by_rest.items()])
        return intersect(let_in, leaving)

    def asked_of(self, calls: Diagram, target: int) -> Diagram:
        """Those of calls to a target that were asked about, without what is told of them."""
        ports = self.asked.ports(self.side.kinds.all[target].names)
        if not isinstance(self.side.ends[target], Workload):
            return intersect(calls, _on(ports))  # nothing judges what is sent there
        http = ports & self.asked.http(target)
        return union((self._told(intersect(calls, _on(http))), _traffic(intersect(calls, _on(ports - http)), "bytes")))

    @cached_property
    def _leaving(self) -> Mapping[_Said | None, int]:
        """Bits of the sources by what their rules say, and of whom; None for those that nothing governs."""
        found: dict[_Said | None, int] = defaultdict(int)
        for source in self.sources:
            stated = self.side.stated(source, Direction.EGRESS)
            found[None if stated is None else tuple(self._placed(stated))] |= 1 << source
        return found

    def _let_out(self, said: _Said | None, target: int, names: Names) -> Diagram:
        if said is None:
            return EVERYTHING
        # What is sent is nothing that a source's rules know of.
        return self._opening(frozenset([(place, self._everyone) for place, bits in said if bits >> target & 1]), names)

    @cached_property
    def _everyone(self) -> int:
        return int(self.side.axes.source.full.bits)

    def _placed(self, stated: Iterable[tuple[EffectiveRule, int]]) -> Iterator[tuple[int, int]]:
        """What rules in force say, by its place, with the ends that they name."""
        for rule, bits in stated:
            place = self._places[rule] if rule in self._places else self._put(rule)
            if place is not None:
                yield place, bits

    def _put(self, rule: EffectiveRule) -> int | None:
        found = self._places[rule] = self._place(rule)
        return found

    def _place(self, rule: EffectiveRule) -> int | None:
        if not (rule.builtin or rule.action is Action.DENY or self.side.allows(rule)):
            return None
        hosts = tuple(name for peer in rule.hosts for name in peer.hosts) if not rule.others else ()
        says = _Says(rule.builtin, rule.action, rule.ports, rule.requests, rule.tunnels, hosts)
        place = self._by_words.setdefault(says, len(self._saying))
        if place == len(self._saying):
            self._saying.append(rule)
        return place

    def _open(self, stated: Stated, names: Names) -> Diagram:
        """Source and request of what the rules of a target let pass, of the sources that are asked about."""
        asked, everyone = self.sources.bits, self._everyone
        told = [(rule, bits & asked) for rule, bits in stated if bits & asked]
        return self._opening(frozenset([(p, everyone if b == asked else b) for p, b in self._placed(told)]), names)

    def _opening(self, said: frozenset[tuple[int, int]], names: Names) -> Diagram:
        """Source and request of what rules, by what they say, let pass."""
        if names is not NO_NAMES and not any(self._saying[place].ports.names for place, _ in said):
            names = NO_NAMES
        key = (said, names)
        if key not in self._opened:
            self._opened[key] = self._taken(*key)
        return self._opened[key]

    def _taken(self, said: Iterable[tuple[int, int]], names: Names) -> Diagram:
        always: list[Diagram] = []
        allowed: list[Diagram] = []
        denied: list[Diagram] = []
        seen = (
            sent.looked_at(self._saying[place].requests for place, _ in said) if self.asked.one is None else frozenset()
        )
        for place, bits in sorted(said):
            rule = self._saying[place]
            refused = sent.unread(rule.requests, seen)
            if refused is not NOTHING:
                refused = intersect(refused, _on(Ports.at(rule.ports, names)))
                denied.append(split(self.side.axes.source, [(Members(bits), refused)]))
            kind = always if rule.builtin else denied if rule.action is Action.DENY else allowed
            requests_ = points.says(rule, names, self.asked.one, self.asked.request)
            kind.append(split(self.side.axes.source, [(Members(bits), requests_)]))
        return union((*always, subtract(union(allowed), union(denied))))

    def stated(self, target: int) -> Stated | None:
        """The rules of a target; where all that is asked about is CONNECT, they tell it apart."""
        found = self.side.stated(target, Direction.INGRESS)
        if found is None or self.asked.request is None or not self.asked.request.tunnel:
            return found
        return tuple((tunnels.told_apart(rule), bits) for rule, bits in found)

    def _no_tunnels(self, end: Workload, stated: Stated | None, names: Names) -> Diagram:
        """The ports on which a proxy refuses every CONNECT."""
        policy = self.side.effective(end.namespace)
        if policy.enrolment is Enrolment.NONE:
            return NOTHING
        if stated is None:
            return subtract(EVERYTHING, open_to_tunnels(policy, end.labels, names))
        return union(_on(Ports.at(rule.ports, names)) for rule, _ in stated if rule.builtin)

    def _let_in(self, target: int, names: Names) -> Diagram:
        """What the target lets in, less what cannot be read in one way where a rule looks, or is refused."""
        stated, end = self.stated(target), self.side.ends[target]
        found = self.side.unruled(target) if stated is None else self._open(stated, names)
        told = self.asked.request
        if told is None or not isinstance(end, Workload):
            return found
        http = cube([(dimensions.TRAFFIC, dimensions.HTTP)])
        if requests.refused(told) and self.side.effective(end.namespace).enrolment is not Enrolment.NONE:
            return subtract(found, http)
        if told.tunnel:
            found = subtract(found, intersect(self._no_tunnels(end, stated, names), http))
        looking = [
            (rule, bits)
            for rule, bits in stated or ()
            if rule.requests is not None and rule.suspended_by is None and requests.unclear(told, [rule.requests])
        ]
        always = [(rule, bits) for rule, bits in stated or () if rule.builtin]
        unclear = subtract(intersect(self._anything(looking, names), http), self._anything(always, names))
        return subtract(found, unclear)

    def _anything(self, stated: Iterable[tuple[EffectiveRule, int]], names: Names) -> Diagram:
        """All calls of those that rules name to their ports."""
        return union(split(self.side.axes.source, [(Members(b), _on(Ports.at(r.ports, names)))]) for r, b in stated)

    def _told(self, calls: Diagram) -> Diagram:
        """Those requests that have the parts that are told, without these."""
        calls = _traffic(calls, "HTTP")
        if self.asked.request is None:
            return calls
        told = self.asked.told or frozenset()
        values = dimensions.point(points.point(self.asked.request))
        return diagram.given(calls, {name: values[name] for name in told})


def _traffic(calls: Diagram, traffic: str) -> Diagram:
    method = {dimensions.METHOD.name: "GET"} if traffic == "bytes" else {}
    return diagram.given(calls, {dimensions.TRAFFIC.name: traffic, **method})


def _on(ports: Ports) -> Diagram:
    return cube([(dimensions.PORT, ports)])
