"""The graph of a world: every identity, and an edge for each pair that may call, or one for all of a group."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.model.net import FIRST_PORT, LAST_PORT, NamedPort
from ringfence.model.resources import Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.graph.model import (
    ANYONE,
    EVERY_IDENTITY,
    MANY_NETWORKS,
    By,
    Edge,
    Graph,
    Kind,
    Node,
    group,
    grouped,
)
from ringfence.policy.proof.parties import Party, described
from ringfence.policy.proof.ports import EVERY, NO_PORT, PROTOCOLS, Names
from ringfence.policy.proof.reaching import Found, Point, Reaching

#: Networks of one rule that are shown each for itself.
_FEW: Final = 4
_SPECIAL: Final = frozenset({Kind.OUTSIDE, Kind.EVERYONE})
#: Link-local addresses (where clouds serve credentials), loopback and multicast: a rule for everyone is still one for
#: everyone without them.
_NOBODY: Final = Spans.of_networks(("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"))


@dataclass(frozen=True, slots=True)
class _Open:
    """What is open between two: ports, names of ports whose numbers are not known, and whether that is certain."""

    ports: Spans = NO_PORT
    names: frozenset[NamedPort] = frozenset()
    surely: bool = True

    def __or__(self, other: "_Open") -> "_Open":
        return _Open(self.ports | other.ports, self.names | other.names, self.surely and other.surely)

    def add(self, found: Found, names: Names) -> "_Open":
        """With one more way in; ``names`` are those of ports whose numbers are not known."""
        if names:
            more = names if not (found.ports - self.ports).empty else frozenset()
            return _Open(self.ports, self.names | more, self.surely and found.surely)
        return _Open(self.ports | found.ports, self.names, self.surely and found.surely)


def drawn(world: World, effective: Effective, *, in_groups: bool = True) -> Graph:
    """Every identity of a world; ``in_groups``: one edge where all of a group may call."""
    return _Drawing(world, effective).graph(in_groups=in_groups)


@dataclass(slots=True)
class _Drawing:
    """Collects the nodes and edges of one world."""

    world: World
    effective: Effective
    nodes: dict[str, Node] = field(default_factory=dict)
    calls: dict[tuple[str, str], _Open] = field(default_factory=dict)
    reaching: Reaching = field(init=False)

    def __post_init__(self) -> None:
        parties = [party for party in described(self.world) if not party.platform]
        self.reaching = Reaching(self.world, self.effective, parties)
        for party in parties:
            node = self._node(party)
            self.nodes.setdefault(node.key, node)

    def _node(self, party: Party) -> Node:
        namespace = self.world.namespaces[party.pod.namespace]
        if not self.effective(namespace.name).closed:
            return Node(f"{namespace.name}/*", "any pod", Kind.OPEN, namespace.name, namespace.zone)
        name = party.identity or "(no identity)"
        return Node(f"{namespace.name}/{name}", name, Kind.IDENTITY, namespace.name, namespace.zone)

    def graph(self, *, in_groups: bool) -> Graph:
        """All of it."""
        for number, party in enumerate(self.reaching.index.parties):
            if self._node(party).kind is Kind.IDENTITY:
                self._outside(number)
            for other in self.reaching.index.bits(self.reaching.callers(number)):
                self._inside(other, number)
        edges = tuple(sorted(self._edges(in_groups=in_groups)))
        used = {key for edge in edges for key in (edge.source, edge.target)}
        kept = (node for node in self.nodes.values() if node.kind not in _SPECIAL or node.key in used)
        return Graph(By.IDENTITY, tuple(sorted(kept)), edges)

    def _inside(self, source: int, target: int) -> None:
        parties = self.reaching.index.parties
        caller, called = self._node(parties[source]), self._node(parties[target])
        if caller.key == called.key or (called.kind is Kind.OPEN and not self._lists(parties[source])):
            # That who may call anything inside may call what is open says nothing, and would hide the rest.
            return
        for found in self.reaching.calls(source, target):
            self._add(caller.key, called.key, found, target)

    def _lists(self, party: Party) -> bool:
        policy = self.effective(party.pod.namespace)
        return policy.closed and any(box.matches(party.pod.labels) for box in policy.egress_listed)

    def _outside(self, number: int) -> None:
        key = self._node(self.reaching.index.parties[number]).key
        for found in self.reaching.calls(self.reaching.outside, number):
            for place in self._places(found.addresses):
                self._add(place, key, found, number)
        for found in self.reaching.calls(number, self.reaching.outside):
            for place in self._places(found.addresses):
                self._add(key, place, found, self.reaching.outside)

    def _places(self, addresses: Spans) -> Iterator[str]:
        """Nodes for addresses: anyone, or each network."""
        if (self.reaching.outside - _NOBODY - addresses).empty:
            yield self._special(ANYONE, Kind.EVERYONE)
        elif len(networks := addresses.networks()) > _FEW:
            yield self._special(MANY_NETWORKS, Kind.OUTSIDE)
        else:
            yield from (self._special(network, Kind.OUTSIDE) for network in networks)

    def _special(self, name: str, kind: Kind) -> str:
        self.nodes.setdefault(name, Node(name, name, kind))
        return name

    def _add(self, source: str, target: str, found: Found, point: Point) -> None:
        unknown = isinstance(point, int) and not self.reaching.index.parties[point].known
        before = self.calls.get((source, target), _Open())
        self.calls[source, target] = before.add(found, found.names if unknown else frozenset())

    def _edges(self, *, in_groups: bool) -> Iterator[Edge]:
        by_target: dict[str, dict[str, _Open]] = defaultdict(dict)
        for (source, target), open_ in self.calls.items():
            by_target[target][source] = open_
        groups = tuple(self._groups()) if in_groups else ()
        for target, sources in by_target.items():
            for source, open_ in _joined(sources, target, groups).items() if in_groups else sources.items():
                ports = (*tokens(open_.ports), *sorted(map(_name, open_.names)))
                yield Edge(source, target, ports, self._zone(source) != self._zone(target), open_.surely)

    def _groups(self) -> Iterator[tuple[str, frozenset[str]]]:
        """All identities, zones and namespaces, the largest first, with the keys of their identities."""
        zones, spaces = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
        for node in self.nodes.values():
            if node.kind is Kind.IDENTITY:
                spaces[node.namespace].add(node.key)
                if node.zone:
                    zones[node.zone].add(node.key)
        if len(spaces) > 1:
            everyone = frozenset(key for keys in spaces.values() for key in keys)
            yield self._special(EVERY_IDENTITY, Kind.EVERYONE), everyone
        yield from ((group(Kind.ZONE, name), frozenset(keys)) for name, keys in sorted(zones.items()))
        yield from ((group(Kind.NAMESPACE, name), frozenset(keys)) for name, keys in sorted(spaces.items()))

    def _zone(self, key: str) -> str:
        """The zone that one is in; what is open and what is outside are zones of their own."""
        match grouped(key):
            case (Kind.ZONE, name):
                return name
            case (_, name):
                return self.world.namespaces[name].zone
            case _:
                node = self.nodes[key]
                return node.zone if node.kind is Kind.IDENTITY else f"({node.kind})"


def _joined(
    sources: Mapping[str, _Open], target: str, groups: Iterable[tuple[str, frozenset[str]]]
) -> Mapping[str, _Open]:
    """Fewer callers that say the same: anyone, or a group instead of all of its members."""
    anyone = sources.get(ANYONE)
    left = {key: open_ for key, open_ in sources.items() if key == ANYONE or open_ != anyone}
    found = dict(left)
    for key, members in groups:
        others = members - {target}
        answers = {left.get(member) for member in others}
        answer = answers.pop() if len(answers) == 1 else None
        if answer is not None and len(others) > 1:
            left = {member: open_ for member, open_ in left.items() if member not in members}
            found = {member: open_ for member, open_ in found.items() if member not in members} | {key: answer}
    return found


def _name(port: NamedPort) -> str:
    return port.name if port.protocol is Protocol.TCP else f"{port.name}/{port.protocol.lower()}"


def tokens(ports: Spans) -> tuple[str, ...]:
    """Ports as people write them: ``8080``, ``53/udp``, ``8000-8999``, ``any port``."""
    if ports == EVERY:
        return ("any port",)
    found = []
    for kind, first, last in ports.spans:
        protocol = PROTOCOLS[kind]
        suffix = "" if protocol is Protocol.TCP else f"/{protocol.lower()}"
        whole = (first, last) == (FIRST_PORT, LAST_PORT)
        numbers = str(first) if first == last else f"{first}-{last}"
        found.append(f"any {protocol}" if whole else f"{numbers}{suffix}")
    return tuple(found)
