"""SELinux stays as the runtime sets it, or moves to a type that is made for containers.

Fields: securityContext.seLinuxOptions of the pod and of every container: ``type`` one of the list or absent, ``user``
and ``role`` absent or empty.
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, quoted
from ringfence.controls.pod import SELinuxOptions, Subject
from ringfence.model.resources import PodSecurityLevel

TYPES: Final = frozenset({"container_t", "container_init_t", "container_kvm_t", "container_engine_t"})


def check(subject: Subject) -> Iterator[Found]:
    if subject.context and subject.context.se_linux_options:
        yield from _options(f"{subject.prefix}spec.securityContext.seLinuxOptions", subject.context.se_linux_options)
    for field, _, context in subject.secured:
        if context.se_linux_options:
            yield from _options(f"{field}.securityContext.seLinuxOptions", context.se_linux_options)


def _options(field: str, options: SELinuxOptions) -> Iterator[Found]:
    if options.type and options.type not in TYPES:
        yield Found(f"{field}.type", f"is {quoted([options.type])}", f"use one of {', '.join(sorted(TYPES))}")
    for name, value in (("user", options.user), ("role", options.role)):
        if value:
            yield Found(f"{field}.{name}", f"is {quoted([value])}", "remove it")


CONTROL: Final = Control(
    id="selinux",
    level=PodSecurityLevel.BASELINE,
    title="SELinux options are the runtime's or of a type for containers",
    check=check,
)
