"""The namespaces of the host stay the host's.

Fields: spec.hostNetwork, spec.hostPID, spec.hostIPC. Allowed: absent, false.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    spec = subject.spec
    for name, value in (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)):
        if value:
            yield Found(f"{subject.prefix}spec.{name}", "is true", "remove it or set it to false")


CONTROL: Final = Control(
    id="host-namespaces",
    level=PodSecurityLevel.BASELINE,
    title="Pods do not share the network, process or IPC namespace of their node",
    kubernetes="hostNamespaces",
    reason="host namespaces",
    check=check,
)
