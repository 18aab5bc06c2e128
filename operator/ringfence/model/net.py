"""Sets of ports and of addresses, with exact subtraction where a NetworkPolicy can say the result.

A named port is resolved by each pod for itself, so what it has in common with a number cannot be known from a
policy alone; such differences are refused with Inexpressible instead of guessed.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from ringfence.model.resources import PortSpec, Protocol

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

FIRST_PORT: Final = 1
LAST_PORT: Final = 65535


class Inexpressible(Exception):
    """The difference of two sets exists but no NetworkPolicy can express it."""


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports ``first`` to ``last`` (inclusive, 1..65535) of a protocol."""

    protocol: Protocol
    first: int
    last: int


@dataclass(frozen=True, slots=True, order=True)
class NamedPort:
    """The container port of this name and protocol, whatever its number."""

    protocol: Protocol
    name: str


@dataclass(frozen=True, slots=True)
class PortSet:
    """Ports at the target. ``everything`` is all traffic, other protocols (ICMP) included.

    ``ranges`` are sorted, disjoint and not adjacent; ``names`` sorted.
    """

    everything: bool = False
    ranges: tuple[PortRange, ...] = ()
    names: tuple[NamedPort, ...] = ()

    @classmethod
    def of(cls, specs: Iterable[PortSpec] | None) -> Self:
        """The set that a rule's ``ports`` names; None is everything."""
        if specs is None:
            return cls(everything=True)
        ranges, names = [], []
        for spec in specs:
            if isinstance(spec.port, str):
                names.append(NamedPort(spec.protocol, spec.port))
            else:
                ranges.append(PortRange(spec.protocol, spec.port, spec.end_port or spec.port))
        return cls(ranges=merge(ranges), names=tuple(sorted(set(names))))

    @property
    def empty(self) -> bool:
        return not self.everything and not self.ranges and not self.names

    def contains(self, protocol: Protocol, port: int, names: Iterable[str] = ()) -> bool:
        """Whether a port is a member; ``names`` are those that the target's pod gives to it."""
        if self.everything:
            return True
        if any(r.protocol is protocol and r.first <= port <= r.last for r in self.ranges):
            return True
        return any(NamedPort(protocol, name) in self.names for name in names)

    def disjoint(self, other: Self) -> bool:
        """Whether they certainly have nothing in common; a name may be any number of its protocol."""
        if self.everything or other.everything:
            return self.empty or other.empty
        if not self.names and not other.names:
            return self._ranges_disjoint(other)
        protocols_of_names = {n.protocol for n in self.names} & (
            {n.protocol for n in other.names} | {r.protocol for r in other.ranges}
        )
        if protocols_of_names or {n.protocol for n in other.names} & {r.protocol for r in self.ranges}:
            return False
        return self._ranges_disjoint(other)

    def _ranges_disjoint(self, other: Self) -> bool:
        for one in self.ranges:
            for two in other.ranges:
                if one.protocol is two.protocol and one.first <= two.last and two.first <= one.last:
                    return False
        return True

    def within(self, other: Self) -> bool:
        """Whether every member is certainly one of ``other``; a name only if ``other`` has it too."""
        if self.everything or other.everything:
            return other.everything
        return set(self.names) <= set(other.names) and all(
            any(o.protocol is r.protocol and o.first <= r.first and r.last <= o.last for o in other.ranges)
            for r in self.ranges
        )

    def __or__(self, other: Self) -> "PortSet":
        if self.everything or other.everything:
            return PortSet(everything=True)
        return PortSet(ranges=merge((*self.ranges, *other.ranges)), names=tuple(sorted({*self.names, *other.names})))

    def minus(self, other: Self) -> "PortSet":
        """What is in this set and not in the other; raises Inexpressible where names stand against numbers.

        What is left of everything is left of TCP, UDP and SCTP: a NetworkPolicy cannot name other protocols.
        """
        if other.everything:
            return PortSet()
        if other.empty or self.disjoint(other):
            return self
        ranges = _whole_protocols() if self.everything else self.ranges
        for cut in other.ranges:
            ranges = tuple(piece for r in ranges for piece in _cut(r, cut))
        names = tuple(n for n in self.names if n not in other.names and not _covers(other.ranges, n.protocol))
        for name in names:
            if any(r.protocol is name.protocol for r in other.ranges) or any(
                o.protocol is name.protocol for o in other.names
            ):
                raise Inexpressible(f"port {name.name!r} may or may not be one of the ports denied")
        if any(o.protocol is r.protocol for o in other.names for r in ranges):
            raise Inexpressible("a named port cannot be taken out of port numbers")
        return PortSet(ranges=merge(ranges), names=names)


def merge(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    """Sorted, with overlapping and adjacent ranges joined."""
    merged: list[PortRange] = []
    for current in sorted(ranges):
        last = merged[-1] if merged else None
        if last is not None and last.protocol is current.protocol and current.first <= last.last + 1:
            merged[-1] = PortRange(last.protocol, last.first, max(last.last, current.last))
        else:
            merged.append(current)
    return tuple(merged)


#: Parsed once: the same few networks are compared again and again.
_network = lru_cache(maxsize=8192)(ipaddress.ip_network)


def _whole_protocols() -> tuple[PortRange, ...]:
    return tuple(PortRange(protocol, FIRST_PORT, LAST_PORT) for protocol in sorted(Protocol))


def _covers(ranges: Iterable[PortRange], protocol: Protocol) -> bool:
    return any(r.protocol is protocol and r.first <= FIRST_PORT and r.last >= LAST_PORT for r in ranges)


def _cut(whole: PortRange, out: PortRange) -> list[PortRange]:
    if whole.protocol is not out.protocol or out.last < whole.first or whole.last < out.first:
        return [whole]
    pieces = []
    if whole.first < out.first:
        pieces.append(PortRange(whole.protocol, whole.first, out.first - 1))
    if out.last < whole.last:
        pieces.append(PortRange(whole.protocol, out.last + 1, whole.last))
    return pieces


@dataclass(frozen=True, slots=True)
class IpSet:
    """Addresses as (network, networks cut out of it) pairs, sorted; what ``ipBlock`` with ``except`` can say."""

    blocks: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def of(cls, cidr: str, excluded: Iterable[str] = ()) -> Self:
        """The addresses of ``cidr`` less those of ``excluded``; raises ValueError for what is not a network."""
        return cls(((str(_network(cidr)), ()),)).minus_networks(excluded)

    def __contains__(self, address: str) -> bool:
        ip = ipaddress.ip_address(address)
        return any(
            ip in _network(cidr) and not any(ip in _network(e) for e in excluded) for cidr, excluded in self.blocks
        )

    @property
    def empty(self) -> bool:
        return not self.blocks

    def overlaps(self, networks: Iterable[str]) -> bool:
        """Whether any address of ``networks`` is a member."""
        return self.minus_networks(networks) != self

    def __or__(self, other: Self) -> "IpSet":
        return IpSet(tuple(sorted({*self.blocks, *other.blocks})))

    def minus_networks(self, networks: Iterable[str]) -> Self:
        """Less every address of ``networks``."""
        cuts = [_network(n) for n in networks]
        blocks = (_less(_network(cidr), [_network(e) for e in excluded], cuts) for cidr, excluded in self.blocks)
        return type(self)(tuple(sorted(block for block in blocks if block is not None)))

    def minus(self, other: Self) -> Self:
        """Less every address of another set."""
        result = self.minus_networks(cidr for cidr, excluded in other.blocks if not excluded)
        for cidr, excluded in other.blocks:
            if not excluded:
                continue
            kept = result.minus_networks([cidr]).blocks
            for hole in excluded:
                kept += result.intersect(hole).blocks
            result = type(self)(tuple(sorted(set(kept))))
        return result

    def disjoint(self, other: Self) -> bool:
        """Whether no address is in both."""
        if not _meeting(_spans(self.blocks), _spans(other.blocks)):
            return True
        if any(excluded for _, excluded in (*self.blocks, *other.blocks)):
            return self.minus(other) == self
        return False

    def intersect(self, network: str) -> Self:
        """Only what lies within ``network``."""
        target = _network(network)
        blocks = []
        for cidr, excluded in self.blocks:
            own = _network(cidr)
            if own.version != target.version or not own.overlaps(target):
                continue
            smaller = own if own.prefixlen >= target.prefixlen else target
            block = _less(smaller, [_network(e) for e in excluded], [])
            if block is not None:
                blocks.append(block)
        return type(self)(tuple(sorted(blocks)))


Span = tuple[int, int, int]


@lru_cache(maxsize=8192)
def _spans(blocks: tuple[tuple[str, tuple[str, ...]], ...]) -> tuple[Span, ...]:
    """(IP version, first, last address as numbers) of the blocks, sorted and disjoint; what is cut out is ignored."""
    spans: list[Span] = []
    networks = (_network(cidr) for cidr, _ in blocks)
    for version, first, last in sorted((n.version, int(n.network_address), int(n.broadcast_address)) for n in networks):
        if spans and spans[-1][0] == version and first <= spans[-1][2]:
            spans[-1] = (version, spans[-1][1], max(last, spans[-1][2]))
        else:
            spans.append((version, first, last))
    return tuple(spans)


def _meeting(one: tuple[Span, ...], other: tuple[Span, ...]) -> bool:
    """Whether any span of ``one`` meets any of ``other``, in one walk through both."""
    left, right = 0, 0
    while left < len(one) and right < len(other):
        (version, first, last), (other_version, other_first, other_last) = one[left], other[right]
        if version == other_version and first <= other_last and other_first <= last:
            return True
        if (version, last) < (other_version, other_last):
            left += 1
        else:
            right += 1
    return False


def _less(network: Network, excluded: Iterable[Network], cuts: Iterable[Network]) -> tuple[str, tuple[str, ...]] | None:
    """The block ``network`` except ``excluded`` and ``cuts``, in canonical form; None when nothing is left."""
    relevant = [n for n in (*excluded, *cuts) if n.version == network.version and n.overlaps(network)]
    if any(n.prefixlen <= network.prefixlen for n in relevant):
        return None
    v4 = [n for n in relevant if isinstance(n, ipaddress.IPv4Network)]
    v6 = [n for n in relevant if isinstance(n, ipaddress.IPv6Network)]
    collapsed: list[Network] = [*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6)]
    if any(n.prefixlen <= network.prefixlen for n in collapsed):
        return None
    return str(network), tuple(str(n) for n in sorted(collapsed, key=lambda n: (int(n.network_address), n.prefixlen)))
