"""The seccomp filter is not switched off.

Fields: securityContext.seccompProfile.type of the pod and of every container. Allowed: absent, ``RuntimeDefault``,
``Localhost``. The annotations of old mean nothing to a kubelet since Kubernetes 1.27 and are not read.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, quoted
from ringfence.controls.pod import Profile, Subject
from ringfence.model.resources import PodSecurityLevel

TYPES: Final = frozenset({"RuntimeDefault", "Localhost"})


def check(subject: Subject) -> Iterator[Found]:
    if subject.context and subject.context.seccomp_profile:
        yield from unconfined(f"{subject.prefix}spec.securityContext.seccompProfile", subject.context.seccomp_profile)
    for field, _, context in subject.secured:
        if context.seccomp_profile:
            yield from unconfined(f"{field}.securityContext.seccompProfile", context.seccomp_profile)


def unconfined(field: str, profile: Profile) -> Iterator[Found]:
    """A profile that is set and is not one of the two."""
    if profile.type not in TYPES:
        yield Found(f"{field}.type", f"is {quoted([profile.type or ''])}", "use RuntimeDefault or Localhost")


CONTROL: Final = Control(
    id="seccomp",
    level=PodSecurityLevel.BASELINE,
    title="Seccomp profiles are not Unconfined",
    check=check,
)
