"""The controls of the Pod Security Standards as CEL: whether a pod breaks one, in each form that it ever had.

The lists of what is allowed are those of the controls themselves; a test holds every fixture of Kubernetes to the same
answer as they give.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from ringfence.controls import (
    apparmor,
    capabilities,
    capabilities_restricted,
    seccomp,
    selinux,
    sysctls,
    volume_types,
)
from ringfence.translate import cel
from ringfence.translate.backstop.scope import Scope, listed, optional

#: CEL that is true for a pod that breaks the control.
Broken = Callable[[Scope], str]

_LINUX: Final = "variables.linux"
_HOST_USERS: Final = "!variables.ownUsers"


def _every(values: Iterable[str]) -> str:
    return cel.literal(sorted(values))


def _any_context(scope: Scope, condition: str) -> str:
    """Whether it holds for the securityContext (``s``) of any container."""
    return f"{scope.contexts}.exists(s, {condition})"


def _anywhere(scope: Scope, condition: Callable[[str], str]) -> str:
    """Whether it holds for the securityContext of the pod or of any container."""
    return cel.either(cel.both(scope.fresh, condition("variables.context")), _any_context(scope, condition("s")))


def _only(where: str, form: Broken) -> Broken:
    return lambda scope: cel.both(where, form(scope))


def _apparmor(scope: Scope) -> str:
    value = "variables.annotations[key]"
    annotated = cel.both(
        f"key.startsWith({cel.literal(apparmor.ANNOTATION)})",
        f"!({value} in ['', 'runtime/default'] || {value}.startsWith('localhost/'))",
        scope.changed,
    )
    profile = partial(_profile, "appArmorProfile", apparmor.TYPES)
    return cel.either(_anywhere(scope, profile), f"variables.annotations.exists(key, {annotated})")


def _profile(field: str, types: Iterable[str], of: str) -> str:
    """Whether a profile is set, and is none of these types."""
    kind = f"{optional(of, field, 'type')}.orValue('')"
    return cel.both(f"{optional(of, field)}.hasValue()", f"!({kind} in {_every(types)})")


def _capabilities(scope: Scope) -> str:
    return _any_context(scope, _adds(capabilities.ALLOWED))


def _capabilities_restricted(scope: Scope) -> str:
    dropped = listed(optional("s", "capabilities", "drop"))
    return _any_context(scope, cel.either(f"!('ALL' in {dropped})", _adds(capabilities_restricted.ALLOWED)))


def _adds(allowed: Iterable[str]) -> str:
    return f"{listed(optional('s', 'capabilities', 'add'))}.exists(name, !(name in {_every(allowed)}))"


def _host_namespaces(scope: Scope) -> str:
    fields = ("hostNetwork", "hostPID", "hostIPC")
    return cel.both(scope.fresh, cel.either(*(f"{optional('variables.spec', each)}.orValue(false)" for each in fields)))


def _host_path(scope: Scope) -> str:
    return cel.both(scope.fresh, f"variables.volumes.exists(v, {optional('v', 'hostPath')}.hasValue())")


def _host_ports(scope: Scope) -> str:
    opened = f"{listed(optional('c', 'ports'))}.exists(p, {optional('p', 'hostPort')}.orValue(0) != 0)"
    return f"{scope.containers}.exists(c, {opened})"


def _host_probes(scope: Scope) -> str:
    def host(handler: str) -> str:
        return cel.either(
            *(f"{optional(handler, action, 'host')}.orValue('') != ''" for action in ("httpGet", "tcpSocket"))
        )

    probes = f"['livenessProbe', 'readinessProbe', 'startupProbe'].exists(h, {host('c[?h]')})"
    hooks = f"['postStart', 'preStop'].exists(h, {host(optional('c', 'lifecycle') + '[?h]')})"
    return f"{scope.containers}.exists(c, {cel.either(probes, hooks)})"


def _host_process(scope: Scope) -> str:
    return _anywhere(scope, lambda of: f"{optional(of, 'windowsOptions', 'hostProcess')}.orValue(false)")


def _privileged(scope: Scope) -> str:
    return _any_context(scope, f"{optional('s', 'privileged')}.orValue(false)")


def _proc_mount(scope: Scope) -> str:
    return _any_context(scope, f"{optional('s', 'procMount')}.orValue('Default') != 'Default'")


def _escalation(scope: Scope) -> str:
    return _any_context(scope, f"{optional('s', 'allowPrivilegeEscalation')}.orValue(true)")


def _non_root(scope: Scope) -> str:
    said, pod = optional("s", "runAsNonRoot"), optional("variables.context", "runAsNonRoot")
    root = cel.either(f"!{said}.orValue(true)", f"!{said}.hasValue() && !{pod}.hasValue()")
    return cel.either(cel.both(scope.fresh, f"!{pod}.orValue(true)"), _any_context(scope, root))


def _user(scope: Scope) -> str:
    return _anywhere(scope, lambda of: f"{optional(of, 'runAsUser')}.orValue(1) == 0")


def _seccomp(scope: Scope) -> str:
    return _anywhere(scope, partial(_profile, "seccompProfile", seccomp.TYPES))


def _seccomp_restricted(scope: Scope) -> str:
    unset = f"!{optional('s', 'seccompProfile')}.hasValue()"
    pod = f"!{optional('variables.context', 'seccompProfile')}.hasValue()"
    return cel.either(_seccomp(scope), cel.both(pod, _any_context(scope, unset)))


def _seccomp_annotations(scope: Scope) -> str:
    value, prefix = "variables.annotations[key]", cel.literal(seccomp.CONTAINER_ANNOTATION)

    def of_a_container(containers: str) -> str:
        return f"{containers}.exists(c, key == {prefix} + c.name)"

    # An annotation may have been there before the container that it is about.
    judged = cel.either(
        cel.both(
            f"key == {cel.literal(seccomp.POD_ANNOTATION)} || {of_a_container('variables.everything')}", scope.changed
        ),
        of_a_container(scope.containers),
    )
    wrong = f"!({value} in ['docker/default', 'runtime/default'] || {value}.startsWith('localhost/'))"
    return f"variables.annotations.exists(key, {cel.both(wrong, judged)})"


def _selinux(types: Iterable[str]) -> Broken:
    def wrong(of: str) -> str:
        kind, user, role = (f"{optional(of, 'seLinuxOptions', each)}.orValue('')" for each in ("type", "user", "role"))
        return cel.either(f"!({kind} in {_every(('', *types))})", f"{user} != ''", f"{role} != ''")

    return lambda scope: _anywhere(scope, wrong)


def _sysctls(allowed: Iterable[str]) -> Broken:
    named = f"{optional('s', 'name')}.orValue('')"
    wrong = f"{listed(optional('variables.context', 'sysctls'))}.exists(s, !({named} in {_every(allowed)}))"
    return lambda scope: cel.both(scope.fresh, wrong)


def _volume_types(scope: Scope) -> str:
    known = _every((*volume_types.ALLOWED, "name"))
    return cel.both(scope.fresh, f"variables.volumes.exists(v, v.exists(source, !(source in {known})))")


#: By control, each form by the version of Kubernetes that brought it.
FORMS: Final[Mapping[str, Mapping[int, Broken]]] = {
    "apparmor": {0: _apparmor},
    "capabilities": {0: _capabilities},
    "capabilities-restricted": {22: _capabilities_restricted, 25: _only(_LINUX, _capabilities_restricted)},
    "host-namespaces": {0: _host_namespaces},
    "host-path": {0: _host_path},
    "host-ports": {0: _host_ports},
    "host-probes": {34: _host_probes},
    "host-process": {0: _host_process},
    "privilege-escalation": {8: _escalation, 25: _only(_LINUX, _escalation)},
    "privileged": {0: _privileged},
    "proc-mount": {0: _proc_mount, 35: _only(_HOST_USERS, _proc_mount)},
    "proc-mount-restricted": {35: _proc_mount},
    "run-as-non-root": {0: _non_root, 35: _only(_HOST_USERS, _non_root)},
    "run-as-user": {23: _user, 35: _only(_HOST_USERS, _user)},
    "seccomp": {0: _seccomp_annotations, 19: _seccomp},
    "seccomp-restricted": {19: _seccomp_restricted, 25: _only(_LINUX, _seccomp_restricted)},
    "selinux": {since: _selinux(types) for since, types in selinux.TYPES_SINCE.items()},
    "sysctls": {since: _sysctls(allowed) for since, allowed in sysctls.ALLOWED_SINCE.items()},
    "volume-types": {0: _volume_types},
}
