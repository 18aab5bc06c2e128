"""The controls, those of Pod Security and those that a policy switches on: what is not listed is not in force."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from ringfence.controls import (
    apparmor,
    automounted_token,
    capabilities,
    capabilities_restricted,
    credentials_arguments,
    credentials_environment,
    default_service_account,
    ephemeral_containers,
    host_aliases,
    host_namespaces,
    host_path,
    host_ports,
    host_probes,
    host_process,
    image_digest,
    image_latest,
    image_registries,
    privilege_escalation,
    privileged,
    privileged_ports,
    proc_mount,
    proc_mount_restricted,
    proxy_floor,
    read_only_root,
    resource_limits,
    resource_requests,
    run_as_non_root,
    run_as_user,
    seccomp,
    seccomp_restricted,
    secret_variables,
    selinux,
    sessions,
    sysctls,
    volume_types,
)
from ringfence.controls.control import Control, PolicyControl
from ringfence.model import signatures
from ringfence.model.demands import ControlId
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
    proc_mount_restricted.CONTROL,
    run_as_non_root.CONTROL,
    run_as_user.CONTROL,
    seccomp_restricted.CONTROL,
    volume_types.CONTROL,
)

#: Those that a policy switches on, by id. Ways into running pods are in ``sessions``.
POLICY_CONTROLS: Final[Mapping[ControlId, PolicyControl]] = {
    control.id: control
    for control in (
        automounted_token.CONTROL,
        credentials_arguments.CONTROL,
        credentials_environment.CONTROL,
        default_service_account.CONTROL,
        ephemeral_containers.CONTROL,
        host_aliases.CONTROL,
        image_digest.CONTROL,
        image_latest.CONTROL,
        image_registries.CONTROL,
        privileged_ports.CONTROL,
        read_only_root.CONTROL,
        resource_limits.CONTROL,
        resource_requests.CONTROL,
        secret_variables.CONTROL,
    )
}

#: Every id that an exception may name.
IDS: Final = frozenset(
    {
        *(control.id for control in CONTROLS),
        *(control.value for control in POLICY_CONTROLS),
        *(session.control.value for session in sessions.SESSIONS.values()),
        *proxy_floor.IDS,
        signatures.CONTROL,
    }
)

#: A control to the check of Kubernetes' own Pod Security admission that it is.
KUBERNETES: Final = {control.id: control.kubernetes for control in CONTROLS if control.kubernetes}

#: A control to the weaker one that it supersedes.
WEAKER: Final = {control.id: control.supersedes for control in CONTROLS if control.supersedes}

#: What passes every NetworkPolicy: the node's network and ports, probes that the kubelet carries anywhere, and whatever
#: owns the node, as its directories do, where all tokens lie. An enforced namespace is closed only while none of its
#: pods has it, so these hold at every level.
CLOSED: Final = frozenset(
    {
        host_namespaces.CONTROL.id,
        host_path.CONTROL.id,
        host_ports.CONTROL.id,
        host_probes.CONTROL.id,
        host_process.CONTROL.id,
        privileged.CONTROL.id,
    }
)

LEVELS: Final = (PodSecurityLevel.PRIVILEGED, PodSecurityLevel.BASELINE, PodSecurityLevel.RESTRICTED)


@lru_cache(maxsize=1024)
def active(
    level: PodSecurityLevel, excepted: frozenset[str] = frozenset(), version: int | None = None
) -> tuple[Control, ...]:
    """The controls of a level less those excepted, as Kubernetes 1.``version`` has them (None: the newest).

    A control that another one supersedes comes back when that one is excepted: whoever is freed of ``restricted``'s
    stricter form is still bound by ``baseline``'s.
    """
    known = (c.at(version) for c in CONTROLS if LEVELS.index(c.level) <= LEVELS.index(level))
    asked = [c for c in known if c is not None and c.id not in excepted]
    superseded = {control.supersedes for control in asked}
    return tuple(control for control in asked if control.id not in superseded)
