"""Flows of Cilium's Hubble, as ``hubble observe -o jsonpb`` and its exporter write them (flow.proto of Cilium's API).

Hubble tells of packets and of both nodes, so its counts are of events, not of calls.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from ringfence.flows import own, times
from ringfence.flows.flow import Aside, BadLine, Flow, Party, View
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol

_ACCOUNT: Final = "k8s:io.cilium.k8s.policy.serviceaccount="
#: What has got through, and what has not; all else tells of no call.
_PASSED: Final = frozenset({"FORWARDED", "REDIRECTED", "AUDIT"})
_STOPPED: Final = frozenset({"DROPPED", "ERROR"})
_VIEWS: Final = {"INGRESS": View.TARGET, "EGRESS": View.SOURCE}


class _Endpoint(msgspec.Struct, frozen=True):
    namespace: str = ""
    pod_name: str = ""
    labels: list[str] = []


class _Ports(msgspec.Struct, frozen=True):
    destination_port: int = 0


class _Ip(msgspec.Struct, frozen=True):
    source: str = ""
    destination: str = ""


class _Header(msgspec.Struct, frozen=True):
    key: str = ""
    value: str = ""


class _Http(msgspec.Struct, frozen=True):
    method: str = ""
    url: str = ""
    headers: list[_Header] = []


class _Layer7(msgspec.Struct, frozen=True):
    type: str = ""
    http: _Http | None = None


class _Flow(msgspec.Struct, frozen=True):
    verdict: str = ""
    time: str = ""
    ip: _Ip = msgspec.field(name="IP", default=_Ip())
    l4: Mapping[str, Any] = {}
    source: _Endpoint = _Endpoint()
    destination: _Endpoint = _Endpoint()
    l7: _Layer7 | None = None
    is_reply: bool | None = None
    traffic_direction: str = ""
    destination_names: list[str] = []


class Line(msgspec.Struct, frozen=True):
    """The fields that are read."""

    flow: _Flow


def flow(line: Line) -> Flow:
    """What a line says; raises BadLine, and Aside for what is no call."""
    found = line.flow
    if found.is_reply or (found.l7 is not None and found.l7.type == "RESPONSE"):
        raise Aside("replies")
    if found.verdict not in _PASSED | _STOPPED:
        raise Aside(f"events with the verdict {found.verdict[:40] or 'UNKNOWN'}")
    protocol, port = _layer4(found.l4)
    moment = times.seconds(found.time)
    http = found.l7.http if found.l7 is not None else None
    return Flow(
        source=_party(found.source, found.ip.source, "source"),
        target=_called(found, http),
        protocol=protocol,
        port=port,
        first=moment,
        last=moment,
        view=_VIEWS.get(found.traffic_direction, View.UNKNOWN),
        denied=found.verdict in _STOPPED,
        request=None if http is None else _request(http),
        headers=http is not None and bool(http.headers),
        # An exporter may be told to leave queries out.
        query=http is not None and "?" in http.url,
    )


def _called(found: _Flow, http: _Http | None) -> Party:
    """Who was called, with the name of a host where it is said and there is only one."""
    end = _party(found.destination, found.ip.destination, "destination")
    names = {own.host_name(name.removesuffix(".")) for name in found.destination_names}
    if not names and http is not None:
        names = {own.host_name(_request(http).host)}
    return msgspec.structs.replace(end, host=names.pop()) if len(names) == 1 else end


def _layer4(layer: Mapping[str, Any]) -> tuple[Protocol, int]:
    for protocol in Protocol:
        if protocol.value in layer:
            try:
                port = msgspec.convert(layer[protocol.value], _Ports).destination_port
            except msgspec.ValidationError as error:
                raise BadLine(f"flow.l4.{protocol}: {error}") from error
            if not 0 < port < 65536:
                raise BadLine(f"flow.l4.{protocol}.destination_port {port} is no port")
            return protocol, port
    raise Aside(f"packets of {'/'.join(sorted(layer))[:40] or 'no protocol'}")


def _party(end: _Endpoint, ip: str, field: str) -> Party:
    shown = own.address(ip, f"flow.IP.{field}") if ip else ""
    account = next((each.removeprefix(_ACCOUNT) for each in end.labels if each.startswith(_ACCOUNT)), "")
    if not (end.namespace and (account or end.pod_name)) and not shown:
        raise BadLine(f"flow.{field} names neither a pod nor an address")
    return Party(end.namespace, account if end.namespace else "", end.pod_name, shown)


def _request(http: _Http) -> Request:
    try:
        url = urlsplit(http.url)
    except ValueError as error:
        raise BadLine(f"flow.l7.http.url {http.url[:80]!r} is no URL") from error
    headers: dict[str, tuple[str, ...]] = {}
    for each in http.headers:
        name = each.key.lower()
        headers[name] = (*headers.get(name, ()), each.value)
    # What a recorder has put in the place of a value says nothing of it.
    shown = {name: values for name, values in headers.items() if not name.startswith(":") and name != "host"}
    path = f"{url.path or '/'}{f'?{url.query}' if url.query else ''}"
    upgrade = shown.pop("upgrade", ("",))[-1]
    return Request(http.method or "GET", path, url.netloc.rpartition("@")[2], shown, upgrade)
