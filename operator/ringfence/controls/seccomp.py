"""The seccomp filter is not switched off.

Fields: securityContext.seccompProfile.type of the pod and of every container. Allowed: absent, ``RuntimeDefault``,
``Localhost``. Before 1.19 there was no such field, but annotations: ``seccomp.security.alpha.kubernetes.io/pod`` and
``container.seccomp.security.alpha.kubernetes.io/<container>``, of which ``runtime/default``, ``docker/default`` and
``localhost/...`` were allowed. No kubelet reads them since 1.27, so no later version looks at them.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, Revision, quoted
from ringfence.controls.pod import Profile, Subject
from ringfence.model.resources import PodSecurityLevel

TYPES: Final = frozenset({"RuntimeDefault", "Localhost"})
POD_ANNOTATION: Final = "seccomp.security.alpha.kubernetes.io/pod"
CONTAINER_ANNOTATION: Final = "container.seccomp.security.alpha.kubernetes.io/"


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


def _annotated(subject: Subject) -> Iterator[Found]:
    annotations = subject.meta.annotations
    if not annotations:
        return
    names = {each.name for _, each in subject.containers}
    for key in (POD_ANNOTATION, *(f"{CONTAINER_ANNOTATION}{name}" for name in sorted(names))):
        value = annotations.get(key)
        if value is not None and not _allowed(value):
            yield Found(
                f"{subject.prefix}metadata.annotations[{key}]",
                f"is {quoted([value])}",
                "remove it or use runtime/default",
            )


def _allowed(value: str) -> bool:
    return value in {"runtime/default", "docker/default"} or value.startswith("localhost/")


CONTROL: Final = Control(
    id="seccomp",
    level=PodSecurityLevel.BASELINE,
    title="Seccomp profiles are not Unconfined",
    kubernetes="seccompProfile_baseline",
    reason="seccompProfile",
    since=19,
    before=(Revision(0, _annotated, "reads the fields, no longer the annotations"),),
    check=check,
)
