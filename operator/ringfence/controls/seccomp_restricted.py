"""Every container runs under a seccomp filter that somebody named.

Fields: securityContext.seccompProfile.type of the pod or of every container must be ``RuntimeDefault`` or
``Localhost``; a container's own wins over the pod's. Pods for Windows are left alone.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls import seccomp
from ringfence.controls.control import Control, Found, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterator[Found]:
    if not subject.linux:
        return
    yield from seccomp.check(subject)
    if subject.context and subject.context.seccomp_profile:
        return
    for field, each in subject.containers:
        if each.security_context is None or each.security_context.seccomp_profile is None:
            yield Found(
                f"{field}.securityContext.seccompProfile",
                f"is set neither for the pod nor for {container(each.name)}",
                f"set {subject.prefix}spec.securityContext.seccompProfile.type to RuntimeDefault",
            )


CONTROL: Final = Control(
    id="seccomp-restricted",
    level=PodSecurityLevel.RESTRICTED,
    title="Every container runs under the RuntimeDefault or a Localhost seccomp profile",
    check=check,
    supersedes="seccomp",
)
