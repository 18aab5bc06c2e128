"""The controls, in one tuple: what is not listed here is not in force."""

from functools import lru_cache
from typing import Final

from ringfence.controls import (
    apparmor,
    capabilities,
    capabilities_restricted,
    host_namespaces,
    host_path,
    host_ports,
    host_probes,
    host_process,
    privilege_escalation,
    privileged,
    proc_mount,
    run_as_non_root,
    run_as_user,
    seccomp,
    seccomp_restricted,
    selinux,
    sysctls,
    volume_types,
)
from ringfence.controls.control import Control
from ringfence.model import signatures
from ringfence.model.resources import PodSecurityLevel

CONTROLS: Final[tuple[Control, ...]] = (
    apparmor.CONTROL,
    capabilities.CONTROL,
    host_namespaces.CONTROL,
    host_path.CONTROL,
    host_ports.CONTROL,
    host_probes.CONTROL,
    host_process.CONTROL,
    privileged.CONTROL,
    proc_mount.CONTROL,
    seccomp.CONTROL,
    selinux.CONTROL,
    sysctls.CONTROL,
    capabilities_restricted.CONTROL,
    privilege_escalation.CONTROL,
    run_as_non_root.CONTROL,
    run_as_user.CONTROL,
    seccomp_restricted.CONTROL,
    volume_types.CONTROL,
)

#: What an exception may name.
IDS: Final = frozenset(control.id for control in CONTROLS) | {signatures.CONTROL}

#: What passes every NetworkPolicy: the node's network and ports, probes that the kubelet carries anywhere, and whatever
#: owns the node. An enforced namespace is closed only while none of its pods has it, so these hold at every level.
CLOSED: Final = frozenset(
    {
        host_namespaces.CONTROL.id,
        host_ports.CONTROL.id,
        host_probes.CONTROL.id,
        host_process.CONTROL.id,
        privileged.CONTROL.id,
    }
)

LEVELS: Final = (PodSecurityLevel.PRIVILEGED, PodSecurityLevel.BASELINE, PodSecurityLevel.RESTRICTED)


@lru_cache(maxsize=1024)
def active(level: PodSecurityLevel, excepted: frozenset[str] = frozenset()) -> tuple[Control, ...]:
    """The controls of a level less those excepted.

    A control that another one supersedes comes back when that one is excepted: whoever is freed of ``restricted``'s
    stricter form is still bound by ``baseline``'s.
    """
    asked = [c for c in CONTROLS if LEVELS.index(c.level) <= LEVELS.index(level) and c.id not in excepted]
    superseded = {control.supersedes for control in asked}
    return tuple(control for control in asked if control.id not in superseded)
