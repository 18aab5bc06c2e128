"""Strings that name things, each with the form that Kubernetes or the standard behind it gives.

Every pattern is ASCII only, so that look-alike letters of other alphabets, NUL and line ends are refused.
"""

import dataclasses
import functools
import ipaddress
from typing import Final

from ringfence.api.schema import Complaint, Rule, Text

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_VALUE: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

DNS_LABEL: Final = Text(
    description="A DNS label.",
    pattern=f"^{_LABEL}$",
    what="a DNS label of lower-case letters, digits and, inside, '-'",
    max_length=63,
)
DNS_SUBDOMAIN: Final = Text(
    description="A DNS subdomain.",
    pattern=f"^{_SUBDOMAIN}$",
    what="a name of lower-case letters, digits and, inside, '-' and '.'",
    max_length=253,
)
#: RFC 1123 §2.1: labels of at most 63, and the last one no number, since clients take such a name for an IP address.
HOST_LABEL: Final = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
LAST_LABEL: Final = (
    "([a-z]([-a-z0-9]{0,61}[a-z0-9])?|[0-9]{1,62}([a-z]([-a-z0-9]{0,61}[a-z0-9])?|-[-a-z0-9]{0,60}[a-z0-9]))"
)
DNS_NAME: Final = Text(
    description="A DNS name.",
    pattern=rf"^({HOST_LABEL}\.)*{LAST_LABEL}$",
    what="a DNS name of lower-case letters, digits and '-', labels of at most 63, the last one no number",
    max_length=253,
)
#: What a grant covers: a name, or every name with one label before a suffix.
DNS_PATTERN: Final = Text(
    description="A DNS name, or * and a suffix.",
    pattern=rf"^(\*\.)?({HOST_LABEL}\.)*{LAST_LABEL}$",
    what="a DNS name, or *. and a DNS name",
    max_length=253,
)
_IMAGE_LABEL: Final = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_IMAGE_PORT: Final = ":[0-9]{1,5}"
#: Patterns of an image's name in lower case: the host of a registry (told from a path by a dot, a port or its being
#: localhost, as runtimes do) and one component of a repository's path.
REGISTRY_HOST: Final = (
    rf"(({_IMAGE_LABEL}\.)+{_IMAGE_LABEL}({_IMAGE_PORT})?|{_IMAGE_LABEL}{_IMAGE_PORT}|localhost|"
    rf"\[[0-9a-f:]{{2,39}}\]({_IMAGE_PORT})?)"
)
REPOSITORY_COMPONENT: Final = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"

#: Also the value of the label ringfence.dev/identity, hence the shorter limit.
SERVICE_ACCOUNT: Final = dataclasses.replace(DNS_SUBDOMAIN, max_length=63)

#: RFC 6335 §5.1, as Kubernetes checks the names of container ports: at least one letter, no '--'.
PORT_NAME: Final = Text(
    description="The name of a container port.",
    pattern="^([0-9]-?)*[a-z](-?[a-z0-9])*$",
    what="the name of a port, of lower-case letters, digits and single '-', with at least one letter",
    max_length=15,
)

LABEL_VALUE: Final = Text(
    description="The value of a label.",
    pattern=f"^({_LABEL_VALUE})?$",
    what="the value of a label, of letters, digits and, inside, '-', '_' and '.'",
    min_length=0,
    max_length=63,
)


def _long_prefix(key: str) -> Complaint | None:
    prefix, slash, _ = key.partition("/")
    return Complaint("has a prefix of more than 253 characters") if slash and len(prefix) > 253 else None


LABEL_KEY: Final = Text(
    description="The key of a label.",
    pattern=rf"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
    what="the key of a label: [prefix/]name, the name at most 63 letters, digits and, inside, '-', '_' and '.'",
    max_length=253 + 1 + 63,
    rules=(
        Rule(
            test=_long_prefix,
            cel="self.indexOf('/') <= 253",
            message="the prefix has more than 253 characters",
        ),
    ),
)

#: SPIFFE-ID §2: trust domain and path segments; segments that are "." or ".." are refused.
_SEGMENT: Final = r"([a-zA-Z0-9_-]|\.[a-zA-Z0-9_-]|\.\.[a-zA-Z0-9._-])[a-zA-Z0-9._-]*"
SPIFFE_ID: Final = Text(
    description="A SPIFFE ID.",
    pattern=rf"^spiffe://[a-z0-9._-]{{1,255}}(/{_SEGMENT})+$",
    what="a SPIFFE ID of a workload, such as spiffe://example.org/ns/shop/sa/checkout",
    max_length=2048,
)


@functools.lru_cache(maxsize=4096)
def _not_canonical(text: str) -> Complaint | None:
    """Strict where ipaddress is lenient (netmasks, missing or zero-padded prefix, host bits, upper case)."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return Complaint(f'"{text}" is not a network', "such are 10.0.0.0/8 and 2001:db8::/32")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return Complaint(f'"{text}" holds IPv4 addresses in IPv6 form', "write the IPv4 network")
    if "/" not in text:
        return Complaint("has no prefix length", f"write {network}")
    if text == str(network):
        return None
    try:
        ipaddress.ip_network(text, strict=True)
    except ValueError:
        return Complaint(f'"{text}" has host bits set', f"the network is {network}")
    return Complaint(f'"{text}" is not how this network is written', f"write {network}")


_CANONICAL: Final = Rule(
    test=_not_canonical,
    cel="isCIDR(self) && string(cidr(self).masked()) == self",
    message="is not a network in its usual form, such as 10.0.0.0/8 or 2001:db8::/32, with no host bits set",
)
CIDR: Final = Text(
    description="A network.",
    pattern="^[0-9a-fA-F:.]+(/[0-9]+)?$",
    what="a network such as 10.0.0.0/8 or 2001:db8::/32",
    max_length=43,
    rules=(_CANONICAL,),
)
