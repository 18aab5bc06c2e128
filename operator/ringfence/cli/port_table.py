"""Which ports to ask about when the question names none: the rules cut the ports into ranges with one answer each."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ringfence.model.net import FIRST_PORT, LAST_PORT, PortSet
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort


@dataclass(frozen=True, slots=True, order=True)
class Ports:
    """``first`` to ``last`` of a protocol, about which every rule says the same; ``names`` of the first at the target.

    ``rest`` says that no rule and no container names it: ``first`` then stands for all the others.
    """

    protocol: Protocol
    rest: bool
    first: int
    last: int
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.rest:
            return f"every other {self.protocol} port"
        number = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        names = f" ({', '.join(self.names)})" if self.names else ""
        return f"{self.protocol} {number}{names}"


def cut(named: Iterable[PortSet], containers: Sequence[ContainerPort]) -> tuple[Ports, ...]:
    """The ranges that the rules' port sets make, with the containers' ports by themselves, and one for the rest."""
    sets = list(named)
    return tuple(sorted(part for protocol in Protocol for part in _of(protocol, sets, containers)))


def _of(protocol: Protocol, sets: list[PortSet], containers: Sequence[ContainerPort]) -> Iterable[Ports]:
    own = [port for port in containers if port.protocol is protocol]
    ranges = [(each.first, each.last) for one in sets for each in one.ranges if each.protocol is protocol]
    ranges += [(port.port, port.port) for port in own]
    edges = sorted({first for first, _ in ranges} | {last + 1 for _, last in ranges})
    free = FIRST_PORT
    for first, after in itertools.pairwise([*edges, LAST_PORT + 1]):
        if any(low <= first <= high for low, high in ranges):
            names = tuple(sorted({port.name for port in own if port.port == first and port.name}))
            yield Ports(protocol, False, first, after - 1, names)
    while any(low <= free <= high for low, high in ranges):
        free = next(high for low, high in ranges if low <= free <= high) + 1
    if free <= LAST_PORT:
        yield Ports(protocol, True, free, free)
