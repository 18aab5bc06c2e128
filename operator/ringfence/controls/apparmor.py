"""AppArmor is not switched off, by field or by the annotation that the kubelet still reads.

Fields: securityContext.appArmorProfile.type of the pod and of every container (``RuntimeDefault``, ``Localhost`` or
absent); annotations ``container.apparmor.security.beta.kubernetes.io/<container>`` (``runtime/default``,
``localhost/<profile>`` or empty).
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, quoted
from ringfence.controls.pod import Profile, Subject
from ringfence.model.resources import PodSecurityLevel

ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
TYPES: Final = frozenset({"RuntimeDefault", "Localhost"})


def check(subject: Subject) -> Iterator[Found]:
    if subject.context and subject.context.app_armor_profile:
        yield from _profile(f"{subject.prefix}spec.securityContext.appArmorProfile", subject.context.app_armor_profile)
    for field, _, context in subject.secured:
        if context.app_armor_profile:
            yield from _profile(f"{field}.securityContext.appArmorProfile", context.app_armor_profile)
    for key, value in (subject.meta.annotations or {}).items():
        if key.startswith(ANNOTATION) and not _allowed(value):
            yield Found(
                f"{subject.prefix}metadata.annotations[{key}]",
                f"is {quoted([value])}",
                "remove it or use runtime/default",
            )


def _profile(field: str, profile: Profile) -> Iterator[Found]:
    if profile.type not in TYPES:
        yield Found(f"{field}.type", f"is {quoted([profile.type or ''])}", "use RuntimeDefault or Localhost")


def _allowed(value: str) -> bool:
    return value in {"", "runtime/default"} or value.startswith("localhost/")


CONTROL: Final = Control(
    id="apparmor",
    level=PodSecurityLevel.BASELINE,
    title="AppArmor profiles are the runtime's default or the node's own",
    kubernetes="appArmorProfile",
    reason="forbidden AppArmor profile",
    check=check,
)
