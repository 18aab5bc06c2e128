"""Containers gain no capability beyond those of the runtime's defaults.

Fields: securityContext.capabilities.add of every container. Names are compared exactly: a runtime may understand
``net_admin`` or ``CAP_NET_ADMIN`` too, and neither is in the list.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, container, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

ALLOWED: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)


def check(subject: Subject) -> Iterator[Found]:
    for field, each, context in subject.secured:
        if context.capabilities is None or not context.capabilities.add:
            continue
        refused = [name for name in context.capabilities.add if name not in ALLOWED]
        if refused:
            yield Found(
                f"{field}.securityContext.capabilities.add",
                f"adds {quoted(refused)} to {container(each.name)}",
                "remove what is not in the runtime's default set",
            )


CONTROL: Final = Control(
    id="capabilities",
    level=PodSecurityLevel.BASELINE,
    title="Containers add no capability beyond the runtime's defaults",
    kubernetes="capabilities_baseline",
    reason="non-default capabilities",
    check=check,
)
