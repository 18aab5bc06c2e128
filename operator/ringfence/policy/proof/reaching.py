"""Who reaches whom: in one call, or through others that may be called and may call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked
from ringfence.model.spans import ALL, NONE, Spans
from ringfence.model.world import World
from ringfence.policy.algebra.diagram import EVERYTHING, Diagram, intersect, subtract
from ringfence.policy.callers import on_network
from ringfence.policy.decide import Effective
from ringfence.policy.proof import asked as asked_
from ringfence.policy.proof.parties import Party
from ringfence.policy.proof.ports import NAMELESS, NO_PORT, Names, both, given, having, namings, spans
from ringfence.policy.proof.tables import Half, Halves, Index, Mask

ANY_PORT: Final = PortSet(everything=True)
#: Pairs of parties that are looked at in one proof, some ten microseconds each: beyond it, no answer.
MAX_PAIRS: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class Ends:
    """Parties and addresses outside: those whom an end of an invariant names."""

    parties: Mask = 0
    addresses: Spans = NONE

    def __or__(self, other: "Ends") -> "Ends":
        return Ends(self.parties | other.parties, self.addresses | other.addresses)

    def __sub__(self, other: "Ends") -> "Ends":
        return Ends(self.parties & ~other.parties, self.addresses - other.addresses)

    @property
    def empty(self) -> bool:
        return not self.parties and self.addresses.empty


@dataclass(frozen=True, slots=True)
class Found:
    """Ports with these names on which a call passes, ``surely`` or as far as can be known; never none.

    ``addresses`` are those of the end that is outside, if one is.
    """

    ports: Spans
    names: Names
    surely: bool
    addresses: Spans = NONE


#: An end of a call: the number of a party, or addresses outside.
Point = int | Spans


class Reaching:
    """Answers about one world; what it has worked out it keeps."""

    def __init__(
        self,
        world: World,
        effective: Effective,
        parties: Sequence[Party],
        former: "Reaching | None" = None,
    ) -> None:
        """``former`` are answers about a world with the same namespaces and identities: what its policies that are
        still the same came to is taken over.
        """
        kept = former.halves if former is not None and former.index.parties == tuple(parties) else {}
        self.index: Index = former.index if former is not None and kept else Index(world, parties)
        self._pairs = MAX_PAIRS
        #: Whether a question was answered no because of something that is not known.
        self.doubted = False
        #: By namespace.
        self.halves: dict[str, Halves] = {}
        for name in dict.fromkeys(party.pod.namespace for party in parties):
            policy, held = effective(name), kept.get(name)
            self.halves[name] = held if held is not None and held.policy is policy else Halves(self.index, policy)
        self.ingress = [self.halves[each.pod.namespace].of(Direction.INGRESS, each.pod.labels) for each in parties]
        self.egress = [self.halves[each.pod.namespace].of(Direction.EGRESS, each.pod.labels) for each in parties]
        pods = (ip for pods in world.workloads.values() for pod in pods if on_network(pod) for ip in pod.ips)
        ranges = Spans.of_networks(world.installation.pod_cidrs)
        #: Every address that is no pod's.
        self.outside: Final = ALL - ranges - Spans.of_addresses(pods)

    def allow(self, pairs: int) -> None:
        """So many pairs may be looked at from now on."""
        self._pairs = pairs

    def calls(
        self, source: Point, target: Point, ports: PortSet = ANY_PORT, about: Diagram | None = None
    ) -> Iterator[Found]:
        """The ways in which a call from one to the other passes; the fewest names first.

        ``about``: only these requests count.
        """
        ingress, egress = self._halves(source, target)
        asked: set[Names] = {NAMELESS, *(frozenset({name}) for name in ports.names)}
        for naming, held in self._namings(target, ingress, egress, asked):
            wanted = held if ports.everything else held & spans(ports, naming)
            lets_in = tuple(_through(ingress, naming, source, about=about))
            may_call = tuple(_through(egress, naming, target)) if lets_in else ()
            for one in lets_in:
                for other in may_call:
                    found = both(wanted, both(one.ports, other.ports))
                    if not found.empty:
                        yield Found(found, naming, one.surely and other.surely, one.addresses | other.addresses)

    def _namings(
        self, target: Point, ingress: Half | None, egress: Half | None, asked: set[Names]
    ) -> Iterator[tuple[Names, Spans]]:
        """The sets of names that a port of the target may have, with the ports that may have them."""
        names = (ingress.names if ingress else NAMELESS) | (egress.names if egress else NAMELESS)
        if not isinstance(target, int):
            # Where nobody gives names, no port has one.
            yield NAMELESS, having(NAMELESS)
        elif (party := self.index.parties[target]).known:
            yield from given(party.pod.ports, names.union(*asked))
        else:
            seen = dict.fromkeys(naming for base in sorted(asked, key=sorted) for naming in namings(names, base))
            yield from ((naming, having(naming)) for naming in seen)

    def request(
        self, source: Point, target: Point, found: Found, about: Diagram, *, closed: bool = False, surely: bool = True
    ) -> Asked:
        """One of the requests ``about`` that passes in a way that was found; ``closed``: that does not."""
        ingress, egress = self._halves(source, target)
        passing: Diagram = EVERYTHING
        for half, other in ((ingress, source), (egress, target)):
            if half is not None:
                which = found.addresses if isinstance(other, Spans) else 1 << other
                some = half.passing(found.names, found.ports, which, hopeful=closed is surely)
                passing = intersect(passing, some)
        return asked_.example(subtract(about, passing) if closed else intersect(about, passing))

    def closed(
        self, source: Point, target: Point, asked: PortSet, *, surely: bool, about: Diagram | None = None
    ) -> Found | None:
        """Some of the asked ports on which a call does not pass, whatever it sends; None when it passes on all of them.

        Of the sets of names that a port may have, those with at most one more than asked decide: where a port has no
        name no rule opens it by name, and one name is enough for a Deny. ``surely``: what is not known counts against
        the call. Of addresses outside, all must pass.
        """
        self._ask()
        numbers = PortSet(asked.everything, asked.ranges)
        for base in (NAMELESS, *(frozenset({name}) for name in asked.names)):
            for naming, held in self._namings(target, *self._halves(source, target), {base}):
                wanted = held & spans(numbers if not base else PortSet(names=tuple(base)), naming)
                if len(naming) <= len(base) + 1 and not wanted.empty:
                    found = self._closed(source, target, naming, wanted, surely, about)
                    if found is not None:
                        return found
        return None

    def _closed(
        self, source: Point, target: Point, naming: Names, wanted: Spans, surely: bool, about: Diagram | None
    ) -> Found | None:
        ingress, egress = self._halves(source, target)
        for half, other in ((ingress, source), (egress, target)):
            open_ = NO_PORT
            for each in _through(half, naming, other, whole=True, about=about):
                ports = each.ports & wanted
                closed = other - each.addresses if isinstance(other, Spans) and half is not None else NONE
                if not (ports.empty or closed.empty):
                    return Found(ports, naming, surely=True, addresses=closed)
                open_ |= ports if each.surely or not surely else NO_PORT
            if open_ != wanted:
                addresses = next((end for end in (source, target) if isinstance(end, Spans)), NONE)
                return Found(wanted - open_, naming, surely=True, addresses=addresses)
        return None

    def _halves(self, source: Point, target: Point) -> tuple[Half | None, Half | None]:
        """The target's half and the source's; None for an address, which nothing governs."""
        return (
            self.ingress[target] if isinstance(target, int) else None,
            self.egress[source] if isinstance(source, int) else None,
        )

    def ports(self, source: Point, target: Point, *, surely: bool) -> Spans:
        """All ports on which a call passes, whatever they are called."""
        found = NO_PORT
        for each in self.calls(source, target):
            if each.surely or not surely:
                found |= each.ports
        return found

    def passes(
        self, source: Point, target: Point, ports: PortSet, *, surely: bool, about: Diagram | None = None
    ) -> bool:
        """Whether a call passes on one of these ports at least; raises CannotTell after too many questions."""
        self._ask()
        for each in self.calls(source, target, ports, about):
            if each.surely or not surely:
                return True
            self.doubted = True
        return False

    def _ask(self) -> None:
        self._pairs -= 1
        if self._pairs < 0:
            raise CannotTell("there are too many pairs of callers and targets to look at all of them")

    def callers(self, target: Point) -> Mask:
        """The parties that may call, as far as one half of the call says so."""
        if isinstance(target, int):
            return self.ingress[target].anyone
        return sum(1 << number for number in range(len(self.index.parties)))

    def path(
        self,
        sources: Ends,
        targets: Ends,
        ports: PortSet,
        *,
        surely: bool,
        direct: bool = False,
        through: Mask = 0,
        about: Diagram | None = None,
    ) -> tuple[Point, ...]:
        """The shortest way from one of ``sources`` to one of ``targets``, on whose last call is one of ``ports``.

        ``direct``: in one call; ``through`` are parties that no way may go through. ``about``: the last call is one of
        these requests. Empty when there is none.
        """
        return _Search(self, sources, targets, ports, surely, direct, through, about).run()


@dataclass(frozen=True, slots=True)
class _Passing:
    ports: Spans
    surely: bool
    addresses: Spans = NONE


def _through(
    half: Half | None, naming: Names, other: Point, *, whole: bool = False, about: Diagram | None = None
) -> Iterator[_Passing]:
    """The openings of one end that let the other through; ``half`` is None where nothing governs that end.

    ``whole``: those that let every request through. ``about``: only these requests count.
    """
    if half is None:
        yield _Passing(having(NAMELESS), surely=True)
        return
    for opening in half.openings(naming, whole=whole, about=about):
        if isinstance(other, Spans):
            addresses = opening.addresses & other
            if not addresses.empty:
                yield _Passing(opening.ports, surely=True, addresses=addresses)
        elif opening.perhaps >> other & 1:
            yield _Passing(opening.ports, bool(opening.surely >> other & 1))


@dataclass(slots=True)
class _Search:
    """Goes back from the targets, a call at a time, until it meets a source."""

    reaching: Reaching
    sources: Ends
    targets: Ends
    ports: PortSet
    surely: bool
    direct: bool
    through: Mask
    about: Diagram | None

    def run(self) -> tuple[Point, ...]:
        index = self.reaching.index
        layer: list[tuple[Point, ...]] = [(number,) for number in index.bits(self.targets.parties)]
        if not self.targets.addresses.empty:
            layer.append((self.targets.addresses,))
        seen, ports, about = 0, self.ports, self.about
        while layer:
            following: list[tuple[Point, ...]] = []
            for way in layer:
                if self._from_outside(way[0], ports, about):
                    return (self.sources.addresses, *way)
                for number in index.bits(self.reaching.callers(way[0]) & ~seen):
                    if not self.reaching.passes(number, way[0], ports, surely=self.surely, about=about):
                        continue
                    if self.sources.parties >> number & 1:
                        return (number, *way)
                    seen |= 1 << number
                    following.append((number, *way))
            layer = [] if self.direct else [way for way in following if self._carries(way[0])]
            ports, about = ANY_PORT, None
        return ()

    def _from_outside(self, target: Point, ports: PortSet, about: Diagram | None) -> bool:
        if self.sources.addresses.empty or not isinstance(target, int):
            return False
        return self.reaching.passes(self.sources.addresses, target, ports, surely=self.surely, about=about)

    def _carries(self, point: Point) -> bool:
        """Whether a call may go on from there."""
        if not isinstance(point, int):
            return False
        return not self.reaching.index.parties[point].platform and not self.through >> point & 1
