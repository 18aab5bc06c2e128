"""What a graph is made of: every identity of a world, and what is open between each two."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ringfence.model.resources import Action
from ringfence.model.spans import Spans
from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.graph.model import ANYONE, ANYWHERE, MANY_HOSTS, MANY_NETWORKS, Kind, Node
from ringfence.policy.graph.open import Calls, Open
from ringfence.policy.proof.parties import Party, described
from ringfence.policy.proof.ports import NAMELESS, spans
from ringfence.policy.proof.reaching import Found, Point, Reaching

#: Networks of one rule that are shown each for itself.
_FEW: Final = 4
#: Hosts of one identity that are shown each for itself.
_FEW_HOSTS: Final = 8
#: Link-local addresses (where clouds serve credentials), loopback and multicast: a rule for everyone is still one for
#: everyone without them.
_NOBODY: Final = Spans.of_networks(("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"))


def drawn(world: World, effective: Effective) -> tuple[dict[str, Node], Calls]:
    """Every identity of a world by key, and what is open between each two."""
    drawing = _Drawing(world, effective)
    drawing.draw()
    return drawing.nodes, drawing.calls


@dataclass(slots=True)
class _Drawing:
    """Collects the nodes and edges of one world."""

    world: World
    effective: Effective
    nodes: dict[str, Node] = field(default_factory=dict)
    calls: Calls = field(default_factory=dict)
    reaching: Reaching = field(init=False)

    def __post_init__(self) -> None:
        # What serves DNS and the like is open to everybody wherever nothing governs it: that would hide the rest.
        parties = [each for each in described(self.world) if not each.platform or self._closed(each)]
        self.reaching = Reaching(self.world, self.effective, parties)
        for party in parties:
            node = self._node(party)
            self.nodes.setdefault(node.key, node)

    def _closed(self, party: Party) -> bool:
        return self.effective(party.pod.namespace).closed

    def _node(self, party: Party) -> Node:
        namespace = self.world.namespaces[party.pod.namespace]
        if not self._closed(party):
            return Node(f"{namespace.name}/*", "any pod", Kind.OPEN, namespace.name, namespace.zone)
        name = party.identity or "(no identity)"
        return Node(f"{namespace.name}/{name}", name, Kind.IDENTITY, namespace.name, namespace.zone)

    def draw(self) -> None:
        """Look at all pairs that may call."""
        for number, party in enumerate(self.reaching.index.parties):
            if self._node(party).kind is Kind.IDENTITY:
                self._outside(number)
            for other in self.reaching.index.bits(self.reaching.callers(number)):
                self._inside(other, number)

    def _inside(self, source: int, target: int) -> None:
        parties = self.reaching.index.parties
        caller, called = self._node(parties[source]), self._node(parties[target])
        if caller.key == called.key or (called.kind is Kind.OPEN and not self._lists(parties[source])):
            # That who may call anything inside may call what is open says nothing, and would hide the rest.
            return
        for found in self.reaching.calls(source, target):
            self._add(caller.key, called.key, found, target)

    def _lists(self, party: Party) -> bool:
        boxes = self.effective(party.pod.namespace).egress_listed
        return self._closed(party) and any(box.matches(party.pod.labels) for box in boxes)

    def _outside(self, number: int) -> None:
        key = self._node(self.reaching.index.parties[number]).key
        for found in self.reaching.calls(self.reaching.outside, number):
            everyone = self._lets_all_in(number, found)
            for place in (self._special(ANYONE, Kind.EVERYONE),) if everyone else self._places(found.addresses):
                self._add(place, key, found, number)
        for found in self._to_addresses(number):
            for place in self._places(found.addresses):
                self._add(key, place, found, self.reaching.outside)
        hosts = list(self._to_hosts(number))
        many = len({name for name, _ in hosts}) > _FEW_HOSTS
        for host, found in hosts:
            self._add(key, self._special(MANY_HOSTS if many else host, Kind.OUTSIDE), found, self.reaching.outside)

    def _to_addresses(self, number: int) -> Iterator[Found]:
        """What may be called outside by its address alone."""
        for opening in self.reaching.egress[number].openings(NAMELESS, whole=True):
            addresses = opening.addresses & self.reaching.outside
            if not addresses.empty:
                yield Found(opening.ports, NAMELESS, surely=True, addresses=addresses)

    def _to_hosts(self, number: int) -> Iterator[tuple[str, Found]]:
        """What may be called outside by its name, where some address is left for it."""
        half = self.reaching.egress[number]
        open_ = [(each.ports, each.addresses & self.reaching.outside) for each in half.openings(NAMELESS)]
        for rule in half.rules or ():
            if rule.action is Action.DENY or rule.suspended_by is not None:
                continue
            for ports, addresses in open_:
                both = ports & spans(rule.ports, NAMELESS)
                for peer in rule.hosts if not both.empty else ():
                    left = addresses & Spans.of_set(peer.addresses)
                    found = Found(both, NAMELESS, surely=True, addresses=left)
                    yield from ((host, found) for host in peer.hosts if not left.empty)

    def _lets_all_in(self, number: int, found: Found) -> bool:
        """Whether on these ports anyone is let in: every address, and every pod as far as it may call out."""
        index = self.reaching.index
        if not self._everywhere(found.addresses):
            return False
        openings = self.reaching.ingress[number].openings(found.names)
        mine = (each.surely for each in openings if not (each.ports & found.ports).empty)
        return all(surely | 1 << number == index.everyone for surely in mine)

    def _everywhere(self, addresses: Spans) -> bool:
        return (self.reaching.outside - _NOBODY - addresses).empty

    def _places(self, addresses: Spans) -> Iterator[str]:
        """Nodes for addresses: all of them, or each network."""
        if self._everywhere(addresses):
            yield self._special(ANYWHERE, Kind.OUTSIDE)
        elif len(networks := addresses.networks()) > _FEW:
            yield self._special(MANY_NETWORKS, Kind.OUTSIDE)
        else:
            yield from (self._special(network, Kind.OUTSIDE) for network in networks)

    def _special(self, name: str, kind: Kind) -> str:
        self.nodes.setdefault(name, Node(name, name, kind))
        return name

    def _add(self, source: str, target: str, found: Found, point: Point) -> None:
        unknown = isinstance(point, int) and not self.reaching.index.parties[point].known
        before = self.calls.get((source, target), Open())
        self.calls[source, target] = before.add(found, found.names if unknown else frozenset())
