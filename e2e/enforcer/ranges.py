"""Arithmetic on port ranges and address ranges, so that the kernel needs one look-up where a policy has many rules."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from e2e.enforcer.model import Network, Protocol

LAST_PORT = 65535


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports ``first`` to ``last``, both included, of one protocol."""

    protocol: Protocol
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports that are open. ``everything`` stands for all ports of all protocols, ICMP included.

    ``ranges`` are sorted, disjoint and not adjacent, so that equal sets are equal values.
    """

    ranges: tuple[PortRange, ...] = ()
    everything: bool = False

    def holds(self, protocol: Protocol, port: int) -> bool:
        """Return whether the port is open."""
        return self.everything or any(
            each.protocol == protocol and each.first <= port <= each.last for each in self.ranges
        )


NOTHING = PortSet()
EVERYTHING = PortSet(everything=True)


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses ``first`` to ``last``, both included, as integers of one address family, and what is open to them."""

    first: int
    last: int
    ports: PortSet


def port_set(ranges: Iterable[PortRange]) -> PortSet:
    """Return the union of ``ranges``; touching ranges become one."""
    merged: list[PortRange] = []
    for each in sorted(ranges):
        before = merged[-1] if merged else None
        if before and before.protocol == each.protocol and each.first <= before.last + 1:
            merged[-1] = PortRange(each.protocol, before.first, max(before.last, each.last))
        else:
            merged.append(each)
    return PortSet(tuple(merged))


def union(sets: Iterable[PortSet]) -> PortSet:
    """Return what is open in any of ``sets``."""
    given = list(sets)
    if any(each.everything for each in given):
        return EVERYTHING
    return port_set(span for each in given for span in each.ranges)


def subtract(network: Network, excepted: Iterable[Network]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of ``network`` that no network of ``excepted`` covers, ascending."""
    position, end = int(network.network_address), int(network.broadcast_address)
    holes = sorted(
        (int(each.network_address), int(each.broadcast_address)) for each in excepted if each.version == network.version
    )
    for first, last in holes:
        if first > end:
            break
        if first > position:
            yield position, first - 1
        position = max(position, last + 1)
    if position <= end:
        yield position, end


def flatten(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return disjoint spans in ascending order that open exactly what the given, overlapping ones open together.

    A sweep over the edges: O(n log n) but for the port sets, which are few.
    """
    edges: dict[int, list[tuple[PortSet, int]]] = {}
    for span in spans:
        edges.setdefault(span.first, []).append((span.ports, 1))
        edges.setdefault(span.last + 1, []).append((span.ports, -1))
    known: dict[frozenset[PortSet], PortSet] = {}
    active: Counter[PortSet] = Counter()
    result: list[Span] = []
    for here, following in pairwise(sorted(edges)):
        for ports, change in edges[here]:
            active[ports] += change
            if active[ports] == 0:
                del active[ports]
        key = frozenset(active)
        if key not in known:
            known[key] = union(key)
        _extend(result, Span(here, following - 1, known[key]))
    return tuple(result)


def _extend(result: list[Span], span: Span) -> None:
    """Append ``span``, or lengthen the last one when it touches and opens the same."""
    if span.ports == NOTHING:
        return
    if result and result[-1].last + 1 == span.first and result[-1].ports == span.ports:
        result[-1] = Span(result[-1].first, span.last, span.ports)
    else:
        result.append(span)
