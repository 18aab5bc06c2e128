"""Every container runs under a seccomp filter that somebody named.

Fields: securityContext.seccompProfile.type of the pod or of every container must be ``RuntimeDefault`` or
``Localhost``; a container's own wins over the pod's. Pods for Windows are left alone since 1.25. In force since 1.19,
when the field came.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ringfence.controls import seccomp
from ringfence.controls.control import Control, Found, Revision, container
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


def check(subject: Subject) -> Iterable[Found]:
    return _everywhere(subject) if subject.linux else ()


def _everywhere(subject: Subject) -> Iterator[Found]:
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
    kubernetes="seccompProfile_restricted",
    reason="seccompProfile",
    check=check,
    supersedes="seccomp",
    since=25,
    before=(Revision(19, _everywhere, "leaves pods for Windows alone"),),
)
