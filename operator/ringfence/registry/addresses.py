"""Which hosts and addresses may be reached: those of the open internet, and what the platform names beside.

Names are judged by the addresses that the connection is then made to, so that a name cannot mean one address when it is
judged and another when it is used.
"""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from ringfence.registry.errors import Forbidden

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Where clouds tell a machine its secrets, beside the link-local addresses. No setting opens these.
_METADATA: Final = frozenset(
    ipaddress.ip_address(each) for each in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Named:
    """A registry that the platform has named. ``private``: it may be inside; ``plain_http``: it speaks no TLS."""

    private: bool = False
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached; ``named`` by ``host`` or ``host:port`` as in image references."""

    named: Mapping[str, Named] = field(default_factory=dict)

    def of(self, registry: str) -> Named:
        """What is said of a registry (``host`` or ``host:port``)."""
        return self.named.get(registry, Named())

    def private_host(self, host: str) -> bool:
        """Whether a host may be inside, whatever its port."""
        return any(each.private and host_of(registry) == host for registry, each in self.named.items())

    def check(self, host: str, address: str) -> None:
        """Raises Forbidden unless ``host`` may be reached at ``address``."""
        found = _real(ipaddress.ip_address(address.partition("%")[0]))
        if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
            raise Forbidden(f"{host} is at {address}, where no registry is")
        if not found.is_global and not self.private_host(host):
            raise Forbidden(
                f"{host} is at {address}, an address inside; name it in the setting signatures.registries "
                "with private: true if it is a registry of yours"
            )


def host_of(registry: str) -> str:
    """The host of ``host:port``, without the brackets of an IPv6 address."""
    host, colon, port = registry.rpartition(":")
    return (host if colon and port.isdigit() else registry).strip("[]")


def literal(host: str) -> str | None:
    """The address that a host is written as, in whatever spelling a resolver would take; None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        # 127.1, 2130706433 and 0x7f000001 are addresses to the C library.
        return str(ipaddress.IPv4Address(socket.inet_aton(host)))
    except OSError:
        return None


def _real(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


class GuardedResolver(AbstractResolver):
    """Resolves a name to what may be reached of its addresses; raises Forbidden when nothing of it may be."""

    def __init__(self, reach: Reach, below: AbstractResolver | None = None) -> None:
        self._reach = reach
        self._below = below or DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses that may be connected to."""
        good: list[ResolveResult] = []
        refused: Forbidden | None = None
        for each in await self._below.resolve(host, port, family):
            try:
                self._reach.check(host, each["host"])
            except Forbidden as error:
                refused = error
            else:
                good.append(each)
        if not good and refused is not None:
            raise refused
        return good

    async def close(self) -> None:
        """Close what is below."""
        await self._below.close()
