"""Probes and hooks of the program, sent to the proxy's status listener instead. Pure.

The kubelet comes without an identity, so it could not pass the proxy; and a TCP probe would always pass, since the
proxy takes the connection. What the program is asked stands in the path (model.probes). One that names a ``host`` goes
to somebody else and is left as it is: the control ``host-probes`` refuses it. So is one whose port cannot be told.
"""

from collections.abc import Mapping
from typing import Any, Final

from ringfence.model import probes, proxy
from ringfence.model.probes import Probe, ProbeKind

PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
HOOKS: Final = ("postStart", "preStop")

_KINDS: Final = {"HTTP": ProbeKind.HTTP, "HTTPS": ProbeKind.HTTPS}


def rewritten(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container with its probes and httpGet hooks as they are to be; one that has been rewritten stays."""
    made = dict(container)
    for name in PROBES:
        if isinstance(made.get(name), Mapping):
            made[name] = _handler(made[name], container)
    lifecycle = made.get("lifecycle")
    if isinstance(lifecycle, Mapping):
        hooks = {
            n: _handler(h, container) if n in HOOKS and isinstance(h, Mapping) else h for n, h in lifecycle.items()
        }
        made["lifecycle"] = hooks
    return made


def is_rewritten(action: Mapping[str, Any]) -> bool:
    """Whether an httpGet asks the proxy for a rewritten probe."""
    return action.get("port") == proxy.STATUS_PORT and probes.parse(str(action.get("path") or "")) is not None


def _handler(handler: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """A probe or hook with what it asks put into an httpGet of the status listener; all else of it is kept."""
    action = _asks(handler, container)
    if action is None:
        return dict(handler)
    rest = {key: value for key, value in handler.items() if key not in {"httpGet", "tcpSocket", "grpc"}}
    return {**rest, "httpGet": action}


def _asks(handler: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any] | None:
    for name in ("httpGet", "tcpSocket", "grpc"):
        action = handler.get(name)
        if isinstance(action, Mapping):
            if action.get("host") or (name == "httpGet" and is_rewritten(action)):
                return None
            port = _port(action.get("port"), container)
            probe = _probe(name, action, port) if port else None
            return None if probe is None else _get(probe, action)
    return None


def _probe(name: str, action: Mapping[str, Any], port: int) -> Probe | None:
    if name == "tcpSocket":
        return Probe(ProbeKind.TCP, port)
    if name == "grpc":
        return Probe(ProbeKind.GRPC, port, str(action.get("service") or ""))
    kind = _KINDS.get(str(action.get("scheme") or "HTTP"))
    path = str(action.get("path") or "/")
    return None if kind is None else Probe(kind, port, path if path.startswith("/") else f"/{path}")


def _get(probe: Probe, action: Mapping[str, Any]) -> dict[str, Any]:
    made = {"path": probe.path, "port": proxy.STATUS_PORT, "scheme": "HTTP"}
    headers = action.get("httpHeaders")
    return {**made, "httpHeaders": headers} if headers else made


def _port(value: object, container: Mapping[str, Any]) -> int:
    """A port's number, 0 when it cannot be told; a name is looked up in the probed container, as the kubelet does."""
    if isinstance(value, str):
        if value.isascii() and value.isdecimal():
            value = int(value)
        else:
            named = (each for each in container.get("ports") or () if isinstance(each, Mapping))
            value = next((each.get("containerPort") for each in named if each.get("name") == value), 0)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
    return int(str(value)) if good and value not in proxy.RESERVED_PORTS else 0
