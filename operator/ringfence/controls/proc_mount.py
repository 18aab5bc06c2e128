"""/proc stays masked.

Fields: securityContext.procMount of every container. Allowed: absent, ``Default``.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, container, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    for field, each, context in subject.secured:
        if context.proc_mount is not None and context.proc_mount != "Default":
            yield Found(
                f"{field}.securityContext.procMount",
                f"is {quoted([context.proc_mount])} for {container(each.name)}",
                "remove it or set it to Default",
            )


CONTROL: Final = Control(
    id="proc-mount",
    level=PodSecurityLevel.BASELINE,
    title="/proc is masked as the runtime does it",
    check=check,
)
