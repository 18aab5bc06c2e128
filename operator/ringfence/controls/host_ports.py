"""Containers open no port on their node: it would pass every NetworkPolicy of the pod.

Fields: ports[*].hostPort of every container. Allowed: absent, 0.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        if not each.ports:
            continue
        for index, port in enumerate(each.ports):
            if port.host_port:
                yield Found(
                    f"{field}.ports[{index}].hostPort",
                    f"opens port {port.host_port} of the node for {container(each.name)}",
                    "remove it and use a Service",
                )


CONTROL: Final = Control(
    id="host-ports",
    level=PodSecurityLevel.BASELINE,
    title="Containers open no ports of their node",
    kubernetes="hostPorts",
    reason="hostPort",
    check=check,
)
