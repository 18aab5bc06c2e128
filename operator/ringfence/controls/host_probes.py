"""Probes and hooks reach only their own pod: the kubelet would carry them anywhere else, past every NetworkPolicy.

Fields: ``host`` of httpGet and tcpSocket in livenessProbe, readinessProbe, startupProbe, lifecycle.postStart and
lifecycle.preStop of every container. Allowed: absent, empty. (Pod Security Standards since 1.34.)
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import handlers
from ringfence.controls.control import Control, Found, container, quoted
from ringfence.controls.pod import Container, Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        for name, handler in handlers.of(each):
            if handler.http_get is not None and handler.http_get.host:
                yield _named(f"{field}.{name}.httpGet", handler.http_get.host, each)
            if handler.tcp_socket is not None and handler.tcp_socket.host:
                yield _named(f"{field}.{name}.tcpSocket", handler.tcp_socket.host, each)


def _named(field: str, host: str, of: Container) -> Found:
    message = f"is {quoted([host])} for {container(of.name)}"
    return Found(f"{field}.host", message, "remove it: the pod's own address is the default")


CONTROL: Final = Control(
    id="host-probes",
    level=PodSecurityLevel.BASELINE,
    title="Probes and lifecycle hooks name no host",
    kubernetes="hostProbesAndHostLifecycle",
    reason="probe or lifecycle host",
    since=34,
    check=check,
)
