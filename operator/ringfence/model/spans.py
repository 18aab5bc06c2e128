"""Sets of addresses as spans of numbers: unlike blocks of networks, all differences of them can be said."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from ringfence.model.net import IpSet

#: IP version, first and last address as numbers (inclusive).
Span = tuple[int, int, int]
_TOP: Final = {4: 2**32 - 1, 6: 2**128 - 1}


@dataclass(frozen=True, slots=True)
class Spans:
    """Addresses; ``spans`` are sorted, disjoint and not adjacent, so equal sets are equal values."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Self:
        """The union of spans in any order."""
        merged: list[Span] = []
        for version, first, last in sorted(spans):
            if merged and merged[-1][0] == version and first <= merged[-1][2] + 1:
                merged[-1] = (version, merged[-1][1], max(last, merged[-1][2]))
            else:
                merged.append((version, first, last))
        return cls(tuple(merged))

    @classmethod
    def of_addresses(cls, addresses: Iterable[str]) -> Self:
        """These addresses."""
        return cls.of(_of_address(each) for each in addresses)

    @classmethod
    def of_networks(cls, networks: Iterable[str]) -> Self:
        """The addresses of these networks."""
        return cls.of(_of_network(each) for each in networks)

    @classmethod
    def of_set(cls, addresses: IpSet) -> Self:
        """The members of an IpSet."""
        found = cls()
        for cidr, excluded in addresses.blocks:
            found |= cls.of_networks((cidr,)) - cls.of_networks(excluded)
        return found

    @property
    def empty(self) -> bool:
        return not self.spans

    def holds(self, kind: int, number: int) -> bool:
        """Whether a single one is a member."""
        return any(span[0] == kind and span[1] <= number <= span[2] for span in self.spans)

    def __or__(self, other: Self) -> Self:
        return (
            type(self).of((*self.spans, *other.spans))
            if self.spans and other.spans
            else (self if self.spans else other)
        )

    def __sub__(self, other: Self) -> Self:
        if not self.spans or not other.spans:
            return self
        return type(self)(tuple(self._less(other.spans)))

    def __and__(self, other: Self) -> Self:
        return self - (self - other)

    def _less(self, cuts: tuple[Span, ...]) -> Iterator[Span]:
        place = 0
        for version, first, last in self.spans:
            start = first
            while place < len(cuts) and (cuts[place][0], cuts[place][2]) < (version, start):
                place += 1
            at = place
            while at < len(cuts) and cuts[at][0] == version and cuts[at][1] <= last:
                if cuts[at][1] > start:
                    yield version, start, cuts[at][1] - 1
                start = cuts[at][2] + 1
                at += 1
            if start <= last:
                yield version, start, last

    def networks(self) -> tuple[str, ...]:
        """The fewest networks that together hold exactly these addresses, in order."""
        return tuple(network for span in self.spans for network in _networks(span))


@lru_cache(maxsize=65536)
def _of_address(address: str) -> Span:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed), int(parsed)


@lru_cache(maxsize=65536)
def _of_network(network: str) -> Span:
    parsed = ipaddress.ip_network(network)
    return parsed.version, int(parsed.network_address), int(parsed.broadcast_address)


@lru_cache(maxsize=16384)
def _networks(span: Span) -> tuple[str, ...]:
    version, first, last = span
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return tuple(str(each) for each in ipaddress.summarize_address_range(kind(first), kind(last)))


NONE: Final = Spans()
ALL: Final = Spans(((4, 0, _TOP[4]), (6, 0, _TOP[6])))
