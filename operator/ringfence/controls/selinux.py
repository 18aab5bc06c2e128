"""SELinux stays as the runtime sets it, or moves to a type that is made for containers.

Fields: securityContext.seLinuxOptions of the pod and of every container: ``type`` one of the list or absent, ``user``
and ``role`` absent or empty. ``container_engine_t`` since 1.31.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from ringfence.controls.control import Control, Found, Revision, quoted
from ringfence.controls.pod import SELinuxOptions, Subject
from ringfence.model.resources import PodSecurityLevel

_FIRST: Final = frozenset({"container_t", "container_init_t", "container_kvm_t"})
TYPES: Final = _FIRST | {"container_engine_t"}
#: Which types were allowed, by the version of Kubernetes that brought the list.
TYPES_SINCE: Final = {0: _FIRST, 31: TYPES}


def check(subject: Subject, types: frozenset[str] = TYPES) -> Iterator[Found]:
    if subject.context and subject.context.se_linux_options:
        pod = f"{subject.prefix}spec.securityContext.seLinuxOptions"
        yield from _options(pod, subject.context.se_linux_options, types)
    for field, _, context in subject.secured:
        if context.se_linux_options:
            yield from _options(f"{field}.securityContext.seLinuxOptions", context.se_linux_options, types)


def _options(field: str, options: SELinuxOptions, types: frozenset[str]) -> Iterator[Found]:
    if options.type and options.type not in types:
        yield Found(f"{field}.type", f"is {quoted([options.type])}", f"use one of {', '.join(sorted(types))}")
    for name, value in (("user", options.user), ("role", options.role)):
        if value:
            yield Found(f"{field}.{name}", f"is {quoted([value])}", "remove it")


CONTROL: Final = Control(
    id="selinux",
    level=PodSecurityLevel.BASELINE,
    title="SELinux options are the runtime's or of a type for containers",
    kubernetes="seLinuxOptions",
    reason="seLinuxOptions",
    since=31,
    before=(Revision(0, partial(check, types=_FIRST), "allows container_engine_t"),),
    check=check,
)
