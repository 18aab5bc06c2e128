"""No program gains more privileges than the one that started it.

Fields: securityContext.allowPrivilegeEscalation of every container. Allowed: false, nothing else (absent means true).
Pods for Windows are left alone since 1.25. The field exists since 1.8.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterable[Found]:
    return _everywhere(subject) if subject.linux else ()


def _everywhere(subject: Subject) -> Iterator[Found]:
    for field, each in subject.containers:
        context = each.security_context
        if context is None or context.allow_privilege_escalation is not False:
            yield Found(
                f"{field}.securityContext.allowPrivilegeEscalation",
                f"is not false for {container(each.name)}",
                "set it to false",
            )


CONTROL: Final = Control(
    id="privilege-escalation",
    level=PodSecurityLevel.RESTRICTED,
    title="Containers do not allow privilege escalation",
    kubernetes="allowPrivilegeEscalation",
    reason="allowPrivilegeEscalation != false",
    since=25,
    before=(Revision(8, _everywhere, "leaves pods for Windows alone"),),
    check=check,
)
