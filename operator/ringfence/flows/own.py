"""Ringfence's own format: one object of JSON a line, with the ends written as `ringfence can-i` takes them.

It is what other recorders are turned into. Fields that are not known are refused: one that is misspelt would change
what the record says.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from ringfence.flows import times
from ringfence.flows.flow import BadLine, Flow, Party, Tokens, View
from ringfence.model.names import is_dns_label, is_dns_subdomain
from ringfence.model.net import LAST_PORT
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol
from ringfence.model.spiffe import SpiffeId
from ringfence.policy import tokens

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORMS: Final = "NAMESPACE/IDENTITY, spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, pod:NAMESPACE/POD or ip:ADDRESS"
_PORT: Final = re.compile(r":[0-9]{1,5}")


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line as it is written; docs/flows.md says what each field means."""

    source: str
    target: str
    port: int
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    time: str = ""
    last: str = ""
    count: int = 1
    plaintext: bool = False
    verdict: Literal["allowed", "denied"] = "allowed"
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: Mapping[str, str | list[str]] | None = None
    upgrade: str | None = None
    tokens: Mapping[str, Mapping[str, Any] | None] | None = None


def flow(line: Line) -> Flow:
    """What a line says; raises BadLine."""
    if not 0 < line.port <= LAST_PORT:
        raise BadLine(f"port {line.port} is no port: 1 to {LAST_PORT}")
    if line.count < 1:
        raise BadLine(f"count {line.count} is no number of calls: 1 or more")
    first = times.seconds(line.time)
    last = times.seconds(line.last) or first
    if last < first:
        raise BadLine("last is before time")
    request, brought = _request(line), _tokens(line)
    return Flow(
        source=party(line.source, "source"),
        target=_target(line),
        protocol=Protocol(line.protocol),
        port=line.port,
        first=first,
        last=last,
        count=line.count,
        view=View.UNKNOWN,
        denied=line.verdict == "denied",
        plaintext=line.plaintext,
        request=request,
        headers=line.headers is not None,
        query=line.path is not None,
        tokens=brought,
    )


def _target(line: Line) -> Party:
    """Who was called: beside the ends that may call, a host outside by its name."""
    kind, _, rest = line.target.partition(":")
    if kind == "host":
        name = host_name(rest)
        if not name or _PORT.search(rest):
            raise BadLine(f"target {line.target[:80]!r} is no name of a host: write host:NAME, the port in port")
        return Party(host=name)
    found = party(line.target, "target")
    return msgspec.structs.replace(found, host=host_name(line.host)) if found.ip and line.host else found


def party(text: str, field: str) -> Party:
    """An end as it is written; raises BadLine that names the field."""
    kind, colon, rest = text.partition(":")
    if text.startswith("spiffe:"):
        return identity(text, field)
    if colon and kind == "ip":
        return Party(ip=address(rest, field))
    namespace, slash, name = (rest if colon and kind == "pod" else text).partition("/")
    if slash and is_dns_label(namespace) and is_dns_subdomain(name) and kind in {"pod", text}:
        return Party(namespace, pod=name) if colon else Party(namespace, name, named=True)
    raise BadLine(f"{field} {text[:80]!r} is no end of a call: write {_FORMS}")


def host_name(authority: str) -> str:
    """The name in a Host, an SNI or an authority, in lower case; "" for an address and whatever no rule can name."""
    name = _PORT.sub("", authority.lower()) if authority.count(":") == 1 else authority.lower()
    label = name.rpartition(".")[2]
    return name if is_dns_subdomain(name) and "." in name and not label.isdigit() else ""


def identity(text: str, field: str) -> Party:
    """The ServiceAccount of a SPIFFE ID; raises BadLine for one that Ringfence does not give."""
    try:
        found = SpiffeId.parse(text)
        account = found.service_account()
    except ValueError as error:
        raise BadLine(f"{field} {text[:80]!r}: {error}") from error
    if account is None:
        raise BadLine(f"{field} {text[:80]!r} is no ID of a ServiceAccount: /ns/NAMESPACE/sa/ACCOUNT is expected")
    return Party(*account, domain=found.trust_domain)


def address(text: str, field: str) -> str:
    """An address in its usual form; raises BadLine."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        raise BadLine(f"{field} {text[:80]!r} is no address") from error
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _request(line: Line) -> Request | None:
    said = (line.method, line.path, line.host, line.upgrade, line.headers, line.tokens)
    if all(each is None for each in said):
        return None
    if line.protocol != "TCP":
        raise BadLine("requests are sent over TCP: leave protocol out")
    if line.method is not None and not _TOKEN.fullmatch(line.method):
        raise BadLine(f"method {line.method[:40]!r} is no method: write one like POST")
    headers: dict[str, tuple[str, ...]] = {}
    for name, values in (line.headers or {}).items():
        if not _TOKEN.fullmatch(name):
            raise BadLine(f"headers: {name[:40]!r} is no name of a header")
        headers[name.lower()] = (values,) if isinstance(values, str) else tuple(values)
    return Request(line.method or "GET", line.path or "/", line.host or "", headers, line.upgrade or "")


def _tokens(line: Line) -> Tokens | None:
    """The claims of each token that is told of, as policies see them."""
    if line.tokens is None:
        return None
    found = {name: None if each is None else tokens.claims(each) for name, each in line.tokens.items()}
    return tuple((name, None if each is None else tuple(sorted(each.items()))) for name, each in sorted(found.items()))
