"""Addresses in as few spans as rules tell apart, and what a pod's address can be where that matters."""

import ipaddress
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Final, Self

from ringfence.model.effective import AddressPeers
from ringfence.model.net import IpSet
from ringfence.model.spans import ALL, Span, Spans
from ringfence.policy.peers import NEVER_PODS

_VERSIONS: Final = (4, 6)
#: Networks that are worth being named.
_FEW: Final = 3

#: Members of a set of addresses, as spans; asked for again and again.
spans_of = lru_cache(maxsize=8192)(Spans.of_set)


@dataclass(frozen=True, slots=True)
class Addresses:
    """``cuts`` are all addresses in spans of which each rule names all or nothing, sorted.

    ``free`` holds an address of each that is no pod's, "" for none. ``covering`` are the sets that name pods by address
    too, ``possible`` the addresses that pods may have.
    """

    cuts: tuple[Span, ...]
    free: tuple[str, ...]
    covering: tuple[IpSet, ...]
    possible: Spans

    @classmethod
    def of(cls, peers: Iterable[AddressPeers], pods: frozenset[str], pod_cidrs: Iterable[str]) -> Self:
        """What ``peers`` tell apart; ``pods`` are addresses that pods are known to have (as ipaddress writes
        them), in ``pod_cidrs`` if any.
        """
        listed = list(peers)
        cuts = _cut([peer.addresses for peer in listed])
        covering = dict.fromkeys(peer.addresses for peer in listed if peer.covers_pods)
        ranges = Spans.of_networks(pod_cidrs)
        possible = (ALL if ranges.empty else ranges) - Spans.of_networks(NEVER_PODS)
        return cls(cuts, tuple(_free(span, pods) for span in cuts), tuple(covering), possible)

    def of_pod(self, ips: Sequence[str]) -> Iterator[tuple[frozenset[int], tuple[str, ...]]]:
        """(which of ``covering`` name it, its addresses) of a pod; where none is known, one for each case there is."""
        if not self.covering:
            yield frozenset(), tuple(ips)
        elif ips:
            yield self.signature(ips), tuple(ips)
        else:
            yield from self._cases()

    def signature(self, ips: Iterable[str]) -> frozenset[int]:
        """Which of ``covering`` name a pod with these addresses."""
        members = [(ip.version, int(ip)) for ip in map(ipaddress.ip_address, ips)]
        return frozenset(
            place
            for place, found in enumerate(self.covering)
            if any(spans_of(found).holds(*member) for member in members)
        )

    def _cases(self) -> Iterator[tuple[frozenset[int], tuple[str, ...]]]:
        """Every pair of addresses, one of each version, or one alone, that the sets tell apart."""
        alone: dict[int, dict[frozenset[int], str]] = {version: {} for version in _VERSIONS}
        for span in _cut(self.covering):
            left = Spans((span,)) & self.possible
            if not left.empty:
                first = shown(left.spans[0])
                alone[span[0]].setdefault(self.signature((first,)), first)
        seen: set[frozenset[int]] = set()
        both = ((one | other, (first, second)) for one, first in alone[4].items() for other, second in alone[6].items())
        single = ((one, (first,)) for version in _VERSIONS for one, first in alone[version].items())
        for signature, ips in (*single, *both):
            if signature not in seen:
                seen.add(signature)
                yield signature, ips

    def told(self, ips: Sequence[str]) -> str:
        """Where a pod with these addresses is, as far as ``covering`` tells pods apart."""
        places = self.signature(ips)
        if not places:
            return "with any other address"
        inside = reduce(lambda one, other: one & other, (spans_of(self.covering[place]) for place in places))
        for place, found in enumerate(self.covering):
            if place not in places:
                inside -= spans_of(found)
        networks = (inside & self.possible).networks()
        if len(ips) > 1 or not 0 < len(networks) <= _FEW:
            return f"with an address like {' and '.join(ips)}"
        return f"with an address in {' or '.join(networks)}"

    def place_of(self, address: str) -> int:
        """The place in ``cuts`` of the span that an address is in."""
        ip = ipaddress.ip_address(address)
        return bisect_right(self.cuts, (ip.version, int(ip), 2**128)) - 1

    def numbers(self, found: IpSet, start: int) -> Iterator[int]:
        """The places of the spans that a set holds, counted from ``start`` in the order of ``cuts``."""
        for version, first, last in spans_of(found).spans:
            low = bisect_left(self.cuts, (version, first, first))
            high = bisect_right(self.cuts, (version, last, last + 1))
            yield from range(start + low, start + high)


def _cut(sets: Iterable[IpSet]) -> tuple[Span, ...]:
    edges: dict[int, set[int]] = {version: {first, last + 1} for version, first, last in ALL.spans}
    for found in sets:
        for version, first, last in spans_of(found).spans:
            edges[version] |= {first, last + 1}
    ordered = ((version, sorted(edges[version])) for version in _VERSIONS)
    return tuple(
        (version, first, after - 1) for version, places in ordered for first, after in itertools.pairwise(places)
    )


def _free(span: Span, taken: frozenset[str]) -> str:
    """The first address of a span that is not taken; "" where all are."""
    version, first, last = span
    for number in range(first, last + 1):
        if (found := shown((version, number, number))) not in taken:
            return found
    return ""


def shown(span: Span, place: int = 1) -> str:
    """The first address of a span, or (``place`` 2) the last."""
    kind = ipaddress.IPv4Address if span[0] == 4 else ipaddress.IPv6Address
    return str(kind(span[place]))
