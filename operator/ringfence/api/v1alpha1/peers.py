"""The other ends of a rule (``from`` and ``to``) and the ports."""

import functools
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.api.schema import (
    Choice,
    Complaint,
    Either,
    Field,
    Flag,
    Integer,
    ListOf,
    Obj,
    Rule,
    Text,
    exactly_one_of,
    only_with,
)
from ringfence.api.v1alpha1 import identifiers
from ringfence.model.hosts import MAX_LABELS
from ringfence.model.net import IpSet, Network
from ringfence.model.resources import Protocol

_KINDS: Final[tuple[str, ...]] = ("identity", "zone", "namespace", "spiffeID", "cidr", "apiServer")


_network: Final = functools.lru_cache(maxsize=4096)(ipaddress.ip_network)


def _within(part: Network, whole: Network) -> bool:
    if isinstance(part, ipaddress.IPv4Network):
        return isinstance(whole, ipaddress.IPv4Network) and part.subnet_of(whole)
    return isinstance(whole, ipaddress.IPv6Network) and part.subnet_of(whole)


def _except_outside(value: Mapping[str, Any]) -> Complaint | None:
    if "cidr" not in value or "except" not in value:
        return None
    whole = _network(value["cidr"])
    for index, text in enumerate(value["except"]):
        part = _network(text)
        if not _within(part, whole):
            return Complaint(f"{text} is not within {whole}", "except names parts of cidr", at=f"except[{index}]")
        if part == whole:
            return Complaint(f"{text} leaves nothing of {whole}", "leave the whole entry out", at=f"except[{index}]")
    return None


def _nothing_left(value: Mapping[str, Any]) -> Complaint | None:
    if len(value.get("except", ())) < 2 or not IpSet.of(value["cidr"], value["except"]).empty:
        return None
    return Complaint(f"leaves nothing of {value['cidr']}", "leave the whole entry out", at="except")


_CIDR_RULES: Final = (
    only_with("except", "cidr"),
    Rule(
        test=_except_outside,
        cel=("!has(self.except) || self.except.all(part, part != self.cidr && cidr(self.cidr).containsCIDR(part))"),
        message="except names parts of cidr: networks within it and smaller",
    ),
    Rule(test=_nothing_left),
)


def identity(own_namespace: bool) -> Obj:
    """A ServiceIdentity by its name; ``own_namespace`` says that the policy has a namespace."""
    where = "; default: the namespace of the policy" if own_namespace else ""
    return Obj(
        description="The ServiceIdentity of this name.",
        fields=(
            Field(
                name="namespace",
                node=replace(identifiers.DNS_LABEL, description=f"The namespace of the ServiceIdentity{where}."),
                required=not own_namespace,
            ),
            Field(
                name="name",
                node=replace(identifiers.DNS_SUBDOMAIN, description="The name of the ServiceIdentity."),
                required=True,
            ),
        ),
    )


def _fields(own_namespace: bool) -> tuple[Field, ...]:
    return (
        Field(name="identity", node=identity(own_namespace)),
        Field(
            name="zone",
            node=replace(
                identifiers.DNS_LABEL,
                description="Every identity of the namespaces that carry the label ringfence.dev/zone with this value.",
            ),
        ),
        Field(
            name="namespace",
            node=replace(
                identifiers.DNS_LABEL,
                description=(
                    "Every pod of this namespace, enrolled or not, told by the network alone. For what has no identity"
                    " yet, such as an ingress controller or a monitoring system."
                ),
            ),
        ),
        Field(
            name="spiffeID",
            node=replace(
                identifiers.SPIFFE_ID,
                description="An identity by its SPIFFE ID in full, such as spiffe://example.org/ns/shop/sa/checkout.",
            ),
        ),
        Field(
            name="cidr",
            node=replace(
                identifiers.CIDR,
                description=(
                    "Addresses outside the cluster, as a network with no host bits set, such as 10.0.0.0/8 or"
                    " 2001:db8::/32. They have no identity. The pods' own ranges are taken out if the installation"
                    " knows them, which is the default."
                ),
            ),
        ),
        Field(
            name="except",
            node=ListOf(
                description="Parts of cidr that do not count.",
                items=replace(identifiers.CIDR, description="A network within cidr, smaller than it."),
                max_items=16,
            ),
        ),
        Field(name="apiServer", node=Flag(description="The Kubernetes API server.")),
    )


#: Last labels of names that are never the Internet's (RFC 6761, RFC 6762, RFC 9476), Kubernetes' own among them.
_INSIDE: Final = frozenset({"alt", "arpa", "internal", "invalid", "local", "localhost", "onion", "svc", "test"})


def _not_outside(host: str) -> Complaint | None:
    bare = host.removeprefix("*.")
    last = bare.rpartition(".")[2]
    if last in _INSIDE:
        return Complaint(f"names under .{last} are not outside", "name what is in the cluster by identity or namespace")
    if "." not in bare:
        fix = "give at least two labels after *." if bare != host else "give the whole name, such as api.example.com"
        return Complaint(f"{host} is no name of one host" if bare == host else f"{host} is too wide", fix)
    if bare != host and host.count(".") >= MAX_LABELS:
        return Complaint(f"has {host.count('.') + 1} labels", f"with *. at most {MAX_LABELS} are allowed")
    return None


def _better(host: str) -> str:
    """How something that is no name of a host would be written."""
    lower = host.lower().removesuffix(".")
    name, colon, port = host.rpartition(":")
    if lower != host and _HOST_FORM.fullmatch(lower):
        return f"write {lower}"
    if colon and port.isdigit() and _HOST_FORM.fullmatch(name):
        return f"write {name}, and {port} in ports"
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return ""
    return "that is an address: give cidr"


HOST: Final = Text(
    description=(
        "Hosts outside the cluster by name, such as api.example.com, or *.example.com for names with exactly one label"
        " before the suffix. The pod's proxy looks at the name (of TLS, the SNI; of plain HTTP, the Host), resolves it"
        " itself and connects to global addresses only; without a proxy nothing is opened. Needs ports."
    ),
    pattern=identifiers.DNS_PATTERN.pattern,
    what="the name of a host in lower case, such as api.example.com or *.example.com",
    max_length=253,
    rules=(Rule(test=_not_outside),),
    misread=_better,
)
_HOST_FORM: Final = re.compile(HOST.pattern.removeprefix("^").removesuffix("$"))


def is_outside(host: str) -> bool:
    """Whether a rule may name exactly this host."""
    return _HOST_FORM.fullmatch(host) is not None and "*" not in host and _not_outside(host) is None


def hosts_fit(rule: Mapping[str, Any]) -> Complaint | None:
    """Names of hosts are for Allows of single TCP ports: of others nobody sees the name."""
    if not any("host" in each for each in rule.get("to", ())):
        return None
    if rule.get("action") == "Deny":
        fix = "name in Allow rules what may be called: all else is denied"
        return Complaint("names of hosts are for Allow: an address can be called without its name", fix, at="action")
    if "ports" not in rule:
        return Complaint("names of hosts need ports beside them", "give ports, such as [443]", at="ports")
    for number, port in enumerate(rule["ports"]):
        told = port if isinstance(port, Mapping) else {"port": port}
        fits = isinstance(told["port"], int) and "endPort" not in told and told.get("protocol", "TCP") == "TCP"
        if not fits:
            why = "is no single TCP port by number, as names of hosts need"
            return Complaint(why, "write 443, or a rule of its own", at=f"ports[{number}]")
    return None


def peer(*, ingress: bool, own_namespace: bool, hosts: bool = False) -> Obj:
    """One entry of ``from`` (``ingress``) or ``to``; ``own_namespace`` says that the policy has a namespace.

    ``hosts``: names of hosts may be given.
    """
    fields, kinds, hints = _fields(own_namespace), _KINDS, dict(_HINTS)
    if ingress:
        kinds = (*kinds, "anonymous")
        fields = (*fields, Field(name="anonymous", node=Flag(description="Callers that have no identity.")))
        hints["host"] = Complaint("names of hosts are for egress", "give cidr, or write it in to of an egress rule")
    else:
        hints["anonymous"] = Complaint(
            "is for ingress: in egress the target is named", f"give one of {', '.join(kinds)}"
        )
    if hosts:
        kinds = (*kinds, "host")
        fields = (*fields, Field(name="host", node=HOST))
    elif not ingress:
        hints["host"] = Complaint("names of hosts are for egress rules: nothing is proven of them", "give cidr")
    return Obj(
        description=f"{'A caller' if ingress else 'A target'}: exactly one of {', '.join(kinds)}.",
        fields=fields,
        rules=(*_CIDR_RULES, exactly_one_of(kinds, "a peer")),
        hints=hints,
    )


_HINTS: Final = {
    "podSelector": Complaint("pods are named by their identity, not by labels", "give identity"),
    "namespaceSelector": Complaint("namespaces are named, not selected", "give namespace or zone"),
    "ipBlock": Complaint("is not a field", "give cidr, and except beside it"),
    "serviceAccount": Complaint("is not a field", "give identity, the name of its ServiceIdentity"),
}

_PROTOCOL: Final = Choice(
    description="The transport protocol. UDP and SCTP are authorized by the network alone.",
    values=tuple(p.value for p in Protocol),
)
_NUMBER: Final = Integer(description="The number of a port.", minimum=1, maximum=65535)


def _range_fits(value: Mapping[str, Any]) -> Complaint | None:
    if "endPort" not in value:
        return None
    first, last = value["port"], value["endPort"]
    if isinstance(first, str):
        return Complaint("needs a number as port", "a named port has no range: leave endPort out", at="endPort")
    if last < first:
        return Complaint("comes before port", f"give a number from {first} to 65535", at="endPort")
    return None


PORT: Final = Either(
    description=(
        "A port of the pod: its number, its name, or an object with port (number or name), endPort (the last number"
        " of a range that begins with port) and protocol (TCP, UDP or SCTP; default TCP)."
    ),
    number=_NUMBER,
    word=identifiers.PORT_NAME,
    detail=Obj(
        description="A port, a range of ports, or a port of another protocol than TCP.",
        fields=(
            Field(
                name="port",
                node=Either(
                    description="The number or the name of a port of the pod.",
                    number=_NUMBER,
                    word=identifiers.PORT_NAME,
                ),
                required=True,
            ),
            Field(
                name="endPort",
                node=Integer(
                    description="The last port of a range that begins with port, to 65535.",
                    minimum=1,
                    maximum=65535,
                ),
            ),
            Field(name="protocol", node=_PROTOCOL, default=Protocol.TCP.value),
        ),
        rules=(Rule(test=_range_fits),),
    ),
)
