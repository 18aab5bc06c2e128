"""Only kernel parameters that belong to the pod alone are changed.

Fields: spec.securityContext.sysctls[*].name. The list is Kubernetes' own; it grew with 1.27, 1.29 and 1.32.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from ringfence.controls.control import Control, Found, Revision, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

_FROM_1_0: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_syncookies",
    }
)
_FROM_1_27: Final = _FROM_1_0 | {"net.ipv4.ip_local_reserved_ports"}
_FROM_1_29: Final = _FROM_1_27 | {
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
}
ALLOWED: Final = _FROM_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
#: The lists, by the version of Kubernetes that brought each.
ALLOWED_SINCE: Final = {0: _FROM_1_0, 27: _FROM_1_27, 29: _FROM_1_29, 32: ALLOWED}


def check(subject: Subject, allowed: frozenset[str] = ALLOWED) -> Iterator[Found]:
    if subject.context is None:
        return
    for index, sysctl in enumerate(subject.context.sysctls or ()):
        if sysctl.name not in allowed:
            yield Found(
                f"{subject.prefix}spec.securityContext.sysctls[{index}].name",
                f"is {quoted([sysctl.name])}, which is not among the safe sysctls",
                "remove it",
            )


def _revision(since: int, allowed: frozenset[str], then: str) -> Revision:
    return Revision(since, partial(check, allowed=allowed), then)


CONTROL: Final = Control(
    id="sysctls",
    level=PodSecurityLevel.BASELINE,
    title="Sysctls are among the safe ones",
    kubernetes="sysctls",
    reason="forbidden sysctls",
    since=32,
    before=(
        _revision(0, _FROM_1_0, "allows net.ipv4.ip_local_reserved_ports"),
        _revision(27, _FROM_1_27, "allows tcp_fin_timeout and tcp_keepalive_* of net.ipv4"),
        _revision(29, _FROM_1_29, "allows net.ipv4.tcp_rmem and net.ipv4.tcp_wmem"),
    ),
    check=check,
)
