"""The other ends of a rule (``from`` and ``to``) and the ports."""

import functools
import ipaddress
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
    exactly_one_of,
    only_with,
)
from ringfence.api.v1alpha1 import identifiers
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


def peer(*, ingress: bool, own_namespace: bool) -> Obj:
    """One entry of ``from`` (``ingress``) or ``to``; ``own_namespace`` says that the policy has a namespace."""
    fields, kinds, hints = _fields(own_namespace), _KINDS, dict(_HINTS)
    if ingress:
        kinds = (*kinds, "anonymous")
        fields = (*fields, Field(name="anonymous", node=Flag(description="Callers that have no identity.")))
        hints["host"] = Complaint("names of hosts are for egress", "give cidr, or write it in to of an egress rule")
    else:
        hints["anonymous"] = Complaint(
            "is for ingress: in egress the target is named", f"give one of {', '.join(kinds)}"
        )
        hints["host"] = Complaint(
            "is refused until Ringfence's proxy can check names: a network policy sees addresses only", "give cidr"
        )
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
                node=Integer(description="The last port of a range that begins with port.", minimum=1, maximum=65535),
            ),
            Field(name="protocol", node=_PROTOCOL, default=Protocol.TCP.value),
        ),
        rules=(Rule(test=_range_fits),),
    ),
)
