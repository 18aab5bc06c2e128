"""Networks that rules name, told apart: each with an address that stands for what is in it and in no smaller one."""

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache

from ringfence.model.net import IpSet, Network
from ringfence.model.spans import Spans


@lru_cache(maxsize=65536)
def single(ip: str) -> str:
    """The network of one address."""
    return str(ipaddress.ip_network(ip))


def is_single(network: str) -> bool:
    """Whether a network is one address."""
    return network.endswith("/128" if ":" in network else "/32")


@lru_cache(maxsize=4096)
def joined(found: tuple[str, ...]) -> tuple[str, ...]:
    """The fewest networks that hold the same addresses, in order."""
    return Spans.of_networks(found).networks()


def told_apart(sets: Iterable[IpSet]) -> Iterator[tuple[str, str]]:
    """(network, an address) for every network that the sets name or cut out, sorted; none that smaller ones fill."""
    found = {ipaddress.ip_network(n) for each in sets for cidr, cut in each.blocks for n in (cidr, *cut)}
    ordered = sorted(found, key=_key)
    for place, network in enumerate(ordered):
        inside = []
        for other in ordered[place + 1 :]:
            if other.version != network.version or int(other.network_address) > int(network.broadcast_address):
                break
            inside.append(str(other))
        left = Spans.of_networks([str(network)]) - Spans.of_networks(inside)
        if not left.empty:
            version, first, _ = left.spans[0]
            kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
            yield str(network), str(kind(first))


def _key(network: Network) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen
