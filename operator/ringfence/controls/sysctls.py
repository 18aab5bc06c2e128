"""Only kernel parameters that belong to the pod alone are changed.

Fields: spec.securityContext.sysctls[*].name. The list is Kubernetes' own (safe sysctls as of 1.32).
"""

from collections.abc import Iterator
from typing import Final

from ringfence.controls.control import Control, Found, quoted
from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel

ALLOWED: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)


def check(subject: Subject) -> Iterator[Found]:
    if subject.context is None:
        return
    for index, sysctl in enumerate(subject.context.sysctls or ()):
        if sysctl.name not in ALLOWED:
            yield Found(
                f"{subject.prefix}spec.securityContext.sysctls[{index}].name",
                f"is {quoted([sysctl.name])}, which is not among the safe sysctls",
                "remove it",
            )


CONTROL: Final = Control(
    id="sysctls",
    level=PodSecurityLevel.BASELINE,
    title="Sysctls are among the safe ones",
    check=check,
)
