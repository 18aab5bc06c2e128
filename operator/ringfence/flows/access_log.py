"""The access log of Ringfence's proxies: a line of JSON for each request or connection, at either end of a call.

A line does not name the pod whose proxy wrote it: inbound it is the one at ``destination``, outbound at ``source``.
What went to a host by its name has neither: there ``identity`` says whose proxy it was, and ``host`` the name and port.
"""

from functools import lru_cache
from typing import Any, Final

import msgspec

from ringfence.flows import own, times
from ringfence.flows.flow import Aside, BadLine, Flow, Party, View
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol
from ringfence.translate.envoy import names

_DENIED: Final = "rbac_access_denied_matched_policy["
_FORBIDDEN: Final = 403
_SWITCHING: Final = 101


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """The fields that are read; docs/proxy.md has them all."""

    direction: str
    destination: str = ""
    source: str = ""
    identity: str = ""
    sni: str = ""
    time: str = ""
    peer: str = ""
    tls: str = ""
    upstream: str = ""
    upstream_peer: str = ""
    upstream_failure: str = ""
    failure: str = ""
    answer: str = ""
    method: str = ""
    host: str = ""
    path: str = ""
    code: Any = 0
    details: str = ""


def flow(line: Line) -> Flow:
    """What a line says; raises BadLine, and Aside for what is no call."""
    if line.direction == names.INBOUND:
        return _inbound(line)
    if line.direction == names.OUTBOUND:
        return _outbound(line)
    raise Aside(f"lines of the proxy's {line.direction[:40]!r}")


def _inbound(line: Line) -> Flow:
    target, port = _address(line.destination, "destination")
    source, _ = _address(line.source, "source")
    return Flow(
        source=_party(line.peer, source, "peer"),
        target=_local(target),
        protocol=Protocol.TCP,
        port=port,
        first=(moment := times.seconds(line.time)),
        last=moment,
        view=View.TARGET,
        denied=line.answer == "denied" or line.details.startswith(_DENIED) or bool(line.failure),
        plaintext=not (line.tls or line.peer or line.failure),
        request=_request(line),
    )


def _outbound(line: Line) -> Flow:
    host, named_port = _name(line.sni or line.host)
    if not (line.source or line.destination or line.upstream) and not (host and named_port):
        raise BadLine("source, destination and upstream are missing, and host is no name with a port")
    where, field = (line.upstream, "upstream") if line.upstream else (line.destination, "destination")
    target, port = _address(where, field) if where else ("", named_port)
    # The other end's proxy, which alone knows why, may have refused it.
    refused = line.code == _FORBIDDEN or line.answer == "denied" or bool(line.upstream_failure) or not line.upstream
    return Flow(
        source=_caller(line),
        target=_party(line.upstream_peer, target, "upstreamPeer", host),
        protocol=Protocol.TCP,
        port=port,
        first=(moment := times.seconds(line.time)),
        last=moment,
        view=View.SOURCE,
        denied=refused,
        plaintext=not line.upstream_peer,
        request=_request(line),
    )


def _request(line: Line) -> Request | None:
    if not line.method:
        return None
    # A log has the path, not what the request would change to; only one that did change is answered so.
    upgrade = "websocket" if line.code == _SWITCHING else ""
    return Request(line.method, line.path or "/", line.host, {}, upgrade)


def _caller(line: Line) -> Party:
    """Whose proxy wrote a line about what went out."""
    if line.source or not line.identity:
        return _local(_address(line.source, "source")[0] if line.source else "")
    return _party(line.identity, "", "identity")


@lru_cache(maxsize=65536)
def _name(authority: str) -> tuple[str, int]:
    """The name of a host and the port behind it: "" for what is no such name, 0 for no port."""
    _, colon, port = authority.partition(":")
    return own.host_name(authority), int(port) if colon and port.isdigit() and len(port) <= 5 else 0


@lru_cache(maxsize=65536)
def _party(peer: str, ip: str, field: str, host: str = "") -> Party:
    if not peer:
        return Party(ip=ip, host=host)
    found = own.identity(peer, field)
    return Party(found.namespace, found.account, ip=ip, domain=found.domain)


@lru_cache(maxsize=65536)
def _local(ip: str) -> Party:
    return Party(ip=ip, local=True)


def _address(text: str, field: str) -> tuple[str, int]:
    place = text.rfind(":")
    ip = _ip(text[:place], field) if place > 0 else ""
    port = text[place + 1 :]
    if not ip or not port.isdigit() or len(port) > 5:
        raise BadLine(f"{field} {text[:80]!r} is no address with a port")
    return ip, int(port)


@lru_cache(maxsize=65536)
def _ip(text: str, field: str) -> str:
    return own.address(text.removeprefix("[").removesuffix("]"), field)
