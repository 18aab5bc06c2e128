"""No Windows container runs as a process of its host.

Fields: securityContext.windowsOptions.hostProcess of the pod and of every container. Allowed: absent, false. It is
judged on pods for Linux too: what a field means is decided by the node that runs the pod.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

_FIX: Final = "remove it or set it to false"


def check(subject: Subject) -> Iterator[Found]:
    context = subject.context
    if context and context.windows_options and context.windows_options.host_process:
        yield Found(f"{subject.prefix}spec.securityContext.windowsOptions.hostProcess", "is true", _FIX)
    for field, _, own in subject.secured:
        if own.windows_options and own.windows_options.host_process:
            yield Found(f"{field}.securityContext.windowsOptions.hostProcess", "is true", _FIX)


CONTROL: Final = Control(
    id="host-process",
    level=PodSecurityLevel.BASELINE,
    title="Windows containers do not run as processes of the host",
    kubernetes="windowsHostProcess",
    reason="hostProcess",
    check=check,
)
