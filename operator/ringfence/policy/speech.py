"""Which ports speak HTTP, as Services say it: proxies see requests there, and bytes everywhere else (ADR 0114)."""

from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.model import proxy
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.resources import Protocol
from ringfence.model.world import Workload

#: What a Service's ``appProtocol`` says when the port speaks HTTP (KEP-3726 and what people wrote before it).
_HTTP: Final = frozenset({"http", "http2", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws"})
#: The first word of a port's name, where there is no ``appProtocol``.
_HTTP_NAMES: Final = frozenset({"http", "http2", "grpc", "ws"})


def is_http(port: ServicePort) -> bool:
    """Whether a Service says that this port speaks HTTP; ``https`` is TCP to the proxy."""
    return _told(port) is True


def _told(port: ServicePort) -> bool | None:
    """What a Service says of a port: HTTP, something else, or nothing."""
    if port.app_protocol:
        return port.app_protocol.lower() in _HTTP
    word = port.name.partition("-")[0]
    if word in _HTTP_NAMES:
        return True
    return False if word in {"tcp", "tls", "https"} else None


def speaks_http(pod: Workload, number: int, services: Iterable[ServiceValue]) -> bool:
    """Whether the proxy of a pod takes what comes to one of its ports for HTTP; ``services`` are of its namespace."""
    names: dict[int, set[str]] = {}
    for port in pod.ports:
        if port.protocol is Protocol.TCP:
            names.setdefault(port.port, set()).update(filter(None, [port.name]))
    return agreed(told_of(services, pod.labels, names).get(number, set())) and number not in proxy.RESERVED_PORTS


def told_of(
    services: Iterable[ServiceValue], labels: Mapping[str, str], names: Mapping[int, set[str]]
) -> dict[int, set[bool | None]]:
    """What the Services that select a pod say of its ports; ``names`` are those that its containers give to them."""
    told: dict[int, set[bool | None]] = {}
    for service in services:
        if service.selector and set(service.selector) <= labels.items():
            for each in service.ports:
                if each.protocol is Protocol.TCP:
                    for target in _targets(each.target, names):
                        told.setdefault(target, set()).add(_told(each))
    return told


def agreed(told: set[bool | None]) -> bool:
    """HTTP where some Service says so and none says otherwise: what is taken for TCP carries HTTP too, not so back."""
    return True in told and False not in told


def _targets(target: int | str, names: Mapping[int, set[str]]) -> list[int]:
    if isinstance(target, int):
        return [target]
    return [number for number, own in names.items() if target in own]
