"""Whether an invariant holds, over every pod that may be: proven, violated with a counterexample, or not to be told."""

import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ringfence.model.errors import CannotTell
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked
from ringfence.model.resources import Invariant, Mode, Promise, Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Address, End
from ringfence.policy.proof import asked
from ringfence.policy.proof import ports as ports_
from ringfence.policy.proof.named import Named
from ringfence.policy.proof.parties import possible
from ringfence.policy.proof.reaching import ANY_PORT, MAX_PAIRS, Ends, Found, Point, Reaching


class Outcome(StrEnum):
    """What became of a proof."""

    PROVEN = "proven"
    VIOLATED = "violated"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Step:
    """A call of a counterexample: from one end to a port of the other. ``port`` has the names of the target's pod.

    ``request`` is what is sent, where the invariant is about requests.
    """

    source: End
    target: End
    protocol: Protocol
    port: int
    request: Asked = None


@dataclass(frozen=True, slots=True)
class Proof:
    """The answer about one invariant.

    ``steps`` are calls that pass although they never should, one after the other, or the one that does not although it
    always should. ``why`` says what is not known, ``notes`` what the invariant names that is not there.
    """

    invariant: Invariant
    outcome: Outcome
    steps: tuple[Step, ...] = ()
    why: str = ""
    notes: tuple[str, ...] = ()


def invariants(world: World, modes: Iterable[Mode] = (Mode.ENFORCE,)) -> tuple[Invariant, ...]:
    """Those of the cluster's policies in these modes, by policy, in the order in which they are written."""
    wanted = frozenset(modes)
    found = (policy for policy in world.cluster_policies if policy.spec.mode in wanted)
    return tuple(invariant for policy in found for invariant in policy.invariants)


def prover(world: World, effective: Effective) -> "Prover":
    """What proves over this world; raises CannotTell when there are too many kinds of pods."""
    return Prover(world, Reaching(world, effective, possible(world, effective)))


@dataclass(frozen=True, slots=True)
class Prover:
    """Proves over one world."""

    world: World
    reaching: Reaching
    #: Pairs that one proof may look at.
    pairs_each: int = MAX_PAIRS

    def prove(self, invariant: Invariant) -> Proof:
        """The answer about one invariant; one that would take too long cannot be told."""
        self.reaching.allow(self.pairs_each)
        try:
            named = Named(self.world, self.reaching)
            judge = _never if invariant.promise is Promise.NEVER else _always
            proof = judge(self.reaching, named, invariant)
            return replace(proof, notes=tuple(dict.fromkeys(named.notes)))
        except CannotTell as error:
            return Proof(invariant, Outcome.UNKNOWN, why=str(error))

    def pairs(self, invariant: Invariant) -> frozenset[tuple[Point, Point]]:
        """Every (source, target) of which an invariant does not hold, or may not; addresses outside as one end.

        Raises CannotTell when there are too many to look at.
        """
        self.reaching.allow(self.pairs_each)
        named = Named(self.world, self.reaching)
        if invariant.promise is Promise.ALWAYS:
            closed = _closed(self.reaching, named, invariant)
            return frozenset((source, target) for source, target, _, _ in closed)
        sources, targets = named.sources(invariant), named.targets(invariant)
        found = set()
        for target in _points(self.reaching, targets):
            for source in _points(self.reaching, sources):
                if _way(self.reaching, named, invariant, _alone(source), _alone(target), surely=False):
                    found.add((source, target))
        return frozenset(found)


UNKNOWN_ADDRESS: Final = "it depends on the address of a pod, which nobody knows before it runs"


def _never(reaching: Reaching, named: Named, invariant: Invariant) -> Proof:
    sources, targets = named.sources(invariant), named.targets(invariant)
    reaching.doubted = False
    for surely in (True, False):
        if not surely and not reaching.doubted:
            # Nothing was left out for being unknown, so there is nothing more to find.
            break
        way = _way(reaching, named, invariant, sources, targets, surely=surely)
        if way:
            steps = _steps(reaching, way, invariant, surely=surely)
            outcome = Outcome.VIOLATED if surely else Outcome.UNKNOWN
            return Proof(invariant, outcome, steps, "" if surely else UNKNOWN_ADDRESS)
    return Proof(invariant, Outcome.PROVEN)


def _way(
    reaching: Reaching, named: Named, invariant: Invariant, sources: Ends, targets: Ends, *, surely: bool
) -> tuple[Point, ...]:
    return reaching.path(
        sources,
        targets,
        PortSet.of(invariant.ports),
        surely=surely,
        direct=invariant.direct,
        through=named.ends(invariant.through).parties,
        about=asked.of(invariant),
    )


def _alone(point: Point) -> Ends:
    return Ends(1 << point) if isinstance(point, int) else Ends(0, point)


def _points(reaching: Reaching, ends: Ends) -> Iterator[Point]:
    yield from reaching.index.bits(ends.parties)
    if not ends.addresses.empty:
        yield ends.addresses


def _steps(reaching: Reaching, way: Sequence[Point], invariant: Invariant, *, surely: bool) -> tuple[Step, ...]:
    """The calls of a way; its last is one that the invariant is about."""
    steps = []
    for number, (source, target) in enumerate(itertools.pairwise(way)):
        last = number == len(way) - 2
        ports, about = (PortSet.of(invariant.ports), asked.of(invariant)) if last else (ANY_PORT, None)
        found = next(each for each in reaching.calls(source, target, ports, about) if each.surely or not surely)
        step = _step(reaching, source, target, found)
        if about is not None:
            at = replace(found, ports=ports_.at(step.protocol, step.port))
            step = replace(step, request=reaching.request(source, target, at, about, surely=surely))
        steps.append(step)
    return tuple(steps)


def _step(reaching: Reaching, source: Point, target: Point, found: Found) -> Step:
    protocol, port = ports_.one_of(found.ports)
    names = tuple(ContainerPort(each.name, port, protocol) for each in sorted(found.names))
    caller, called = (_end(reaching, point, found) for point in (source, target))
    if isinstance(called, Workload):
        called = replace(called, ports=names)
    return Step(caller, called, protocol, port)


def _end(reaching: Reaching, point: Point, found: Found) -> End:
    return reaching.index.parties[point].pod if isinstance(point, int) else _address(found.addresses)


def _address(addresses: Spans) -> Address:
    """One of them: one of those kept for documentation (RFC 5737, RFC 3849) if it can be."""
    for usual in (Spans.of_networks(("203.0.113.0/24",)), Spans.of_networks(("2001:db8::/32",))):
        if not (addresses & usual).empty:
            addresses = addresses & usual
            break
    version, first, last = addresses.spans[0]
    # The first address of a network names the network itself.
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return Address(str(kind(min(first + 1, last))))


def _always(reaching: Reaching, named: Named, invariant: Invariant) -> Proof:
    doubt: Proof | None = None
    for source, target, closed, certain in _closed(reaching, named, invariant):
        step = _step(reaching, source, target, closed)
        about = asked.of(invariant)
        if about is not None:
            at = replace(closed, ports=ports_.at(step.protocol, step.port))
            step = replace(step, request=reaching.request(source, target, at, about, closed=True, surely=certain))
        steps = (step,)
        if certain:
            return Proof(invariant, Outcome.VIOLATED, steps)
        doubt = doubt or Proof(invariant, Outcome.UNKNOWN, steps, UNKNOWN_ADDRESS)
    return doubt or Proof(invariant, Outcome.PROVEN)


def _closed(reaching: Reaching, named: Named, invariant: Invariant) -> Iterator[tuple[Point, Point, Found, bool]]:
    """Every pair whose calls do not all pass: ports on which they do not, and whether that is certain."""
    ports, about = PortSet.of(invariant.ports), asked.of(invariant)
    for target in _points(reaching, named.real(named.targets(invariant))):
        for source in _points(reaching, named.real(named.sources(invariant))):
            if source == target or not (isinstance(source, int) or isinstance(target, int)):
                continue
            certain = reaching.closed(source, target, ports, surely=False, about=about)
            found = certain or reaching.closed(source, target, ports, surely=True, about=about)
            if found is not None:
                yield source, target, found, certain is not None
