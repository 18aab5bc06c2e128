"""Names of hosts outside that rules may open, and the addresses that such a name may lead to.

A pattern is a name in lower case, or ``*.`` and a name for exactly one label before it.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from ringfence.model.net import IpSet

#: What no name leads to, whatever an installation lists: this host, link-local (where clouds serve credentials) and
#: multicast (RFC 6890, RFC 4291 §2.7), and IPv4 addresses in IPv6 clothes (RFC 4291 §2.5.5).
NEVER: Final = (
    *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
    *("::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8"),
)
#: What is not global by the registries of special addresses (RFC 6890 and its updates): an installation may list parts
#: of it. Of IPv6 only 2000::/3 is global unicast; fd00:ec2::254, where a cloud serves credentials, is outside of it.
_SPECIAL_V4: Final = (
    *("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4"),
)
_SPECIAL_V6: Final = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
_GLOBAL_V6: Final = "2000::/3"
#: Serve credentials to whoever asks, from addresses that an installation might list with their whole network.
METADATA: Final = ("100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128")

_ANY_LABEL: Final = "*."
#: Labels of a pattern with an open one, which proxies count.
MAX_LABELS: Final = 12


def is_wildcard(pattern: str) -> bool:
    """Whether the first label is left open."""
    return pattern.startswith(_ANY_LABEL)


def matches(pattern: str, name: str) -> bool:
    """Whether a name (in lower case, without a dot at its end) is one that the pattern names."""
    if not is_wildcard(pattern):
        return name == pattern
    label, _, rest = name.partition(".")
    return bool(label) and rest == pattern.removeprefix(_ANY_LABEL)


@lru_cache(maxsize=64)
def outside(opened: Iterable[str], closed: Iterable[str]) -> IpSet:
    """The addresses to which a name may lead: global ones and ``opened``, less ``closed`` (both networks)."""
    everywhere = IpSet.of("0.0.0.0/0", _SPECIAL_V4) | IpSet.of(_GLOBAL_V6, _SPECIAL_V6)
    for network in opened:
        everywhere |= IpSet.of(network)
    return everywhere.minus_networks((*NEVER, *METADATA, *closed))
