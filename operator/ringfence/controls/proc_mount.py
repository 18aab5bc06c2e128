"""/proc stays masked.

Fields: securityContext.procMount of every container. Allowed: absent, ``Default``. Since 1.35 this level leaves pods
in a user namespace of their own (hostUsers false) alone; ``restricted`` does not (proc_mount_restricted).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, container, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterable[Found]:
    return unmasked(subject) if not subject.user_namespace else ()


def unmasked(subject: Subject) -> Iterator[Found]:
    """What shows the pod more of /proc, whatever its user namespace."""
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
    kubernetes="procMount",
    reason="procMount",
    since=35,
    before=(Revision(0, unmasked, "leaves pods with hostUsers: false alone"),),
    check=check,
)
