"""Random pods, full of what Pod Security looks at: good, bad and odd values of every field that it reads."""

from typing import Any

from hypothesis import strategies as st

Object = dict[str, Any]
Strategy = st.SearchStrategy[Any]

_SOURCES = ("configMap", "csi", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret")
_OTHERS = ("hostPath", "nfs", "iscsi", "gitRepo", "glusterfs", "portworxVolume", "storageos", "newerThanBoth")
_CAPABILITIES = ("ALL", "NET_BIND_SERVICE", "CHOWN", "NET_RAW", "SYS_ADMIN", "net_admin", "CAP_CHOWN", "")
_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "kernel.msgmax",
    "net/ipv4/tcp_rmem",
)
_ANNOTATIONS = (
    "seccomp.security.alpha.kubernetes.io/pod",
    "container.seccomp.security.alpha.kubernetes.io/c0",
    "container.seccomp.security.alpha.kubernetes.io/i0",
    "container.seccomp.security.alpha.kubernetes.io/nobody",
    "container.apparmor.security.beta.kubernetes.io/c0",
    "container.apparmor.security.beta.kubernetes.io/nobody",
    "example.com/other",
)
_PROFILES = ("runtime/default", "docker/default", "localhost/x", "localhost/", "localhost", "unconfined", "")

_flag = st.sampled_from((True, False, None))


def _maybe(**fields: Strategy) -> Strategy:
    """An object with some of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def _list(items: Strategy, most: int = 2) -> Strategy:
    return st.lists(items, max_size=most) | st.none()


_profile = st.fixed_dictionaries({"type": st.sampled_from(("RuntimeDefault", "Localhost", "Unconfined", "", "other"))})
_selinux = _maybe(
    type=st.sampled_from(("container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t", "")),
    user=st.sampled_from(("", "u")),
    role=st.sampled_from(("", "r")),
    level=st.just("s0:c1,c2"),
)
_shared = {
    "runAsNonRoot": _flag,
    "runAsUser": st.sampled_from((0, 1, 1000, None)),
    "seLinuxOptions": _selinux | st.none(),
    "seccompProfile": _profile | st.none(),
    "appArmorProfile": _profile | st.none(),
    "windowsOptions": _maybe(hostProcess=_flag) | st.none(),
}
_context = _maybe(
    **_shared,
    privileged=_flag,
    allowPrivilegeEscalation=_flag,
    procMount=st.sampled_from(("Default", "Unmasked", "other", None)),
    capabilities=_maybe(
        add=_list(st.sampled_from(_CAPABILITIES)),
        drop=_list(st.sampled_from(("ALL", "all", "NET_RAW", "CHOWN"))),
    )
    | st.none(),
)
#: Where most of the fields are right, so that single faults are seen alone.
_good = st.just(
    {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
)
_mended = st.builds(lambda good, own: {**good, **own}, _good, _context)
_action = _maybe(host=st.sampled_from(("", "127.0.0.1", "example.com", None)), port=st.just(80))
_handler = _maybe(httpGet=_action | st.none(), tcpSocket=_action | st.none())


def _container(name: str) -> Strategy:
    return st.fixed_dictionaries(
        {"name": st.just(name), "image": st.sampled_from(("a", "b"))},
        optional={
            "securityContext": _good | _mended | _context | st.none(),
            "ports": _list(_maybe(containerPort=st.just(80), hostPort=st.sampled_from((0, 80, 8080, None)))),
            "livenessProbe": _handler,
            "readinessProbe": _handler,
            "startupProbe": _handler,
            "lifecycle": _maybe(postStart=_handler, preStop=_handler) | st.none(),
        },
    )


def _containers(letter: str, least: int) -> Strategy:
    counts = st.integers(least, 2)
    return counts.flatmap(lambda count: st.tuples(*(_container(f"{letter}{n}") for n in range(count)))).map(list)


#: At most one source: no API server lets a volume with two through.
_volume = st.one_of(
    st.just({"name": "v"}),
    st.sampled_from((*_SOURCES, *_OTHERS)).map(lambda source: {"name": "v", source: {}}),
    st.sampled_from(_OTHERS).map(lambda source: {"name": "v", "emptyDir": {}, source: None}),
)

annotations = st.dictionaries(st.sampled_from(_ANNOTATIONS), st.sampled_from(_PROFILES), max_size=2)

_spec = st.fixed_dictionaries(
    {"containers": _containers("c", 1)},
    optional={
        "initContainers": _containers("i", 0) | st.none(),
        "ephemeralContainers": _containers("e", 0) | st.none(),
        "volumes": _list(_volume),
        "hostNetwork": _flag,
        "hostPID": _flag,
        "hostIPC": _flag,
        "hostUsers": _flag,
        "os": st.sampled_from(({"name": "linux"}, {"name": "windows"}, None)),
        "securityContext": _maybe(**_shared, sysctls=_list(_maybe(name=st.sampled_from(_SYSCTLS), value=st.just("1"))))
        | st.just({"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
        | st.none(),
    },
)

pods: Strategy = st.builds(
    lambda annotated, spec: {
        "metadata": {"name": "p", "labels": {"ringfence.dev/identity": "default"}, "annotations": annotated},
        "spec": spec,
    },
    annotations,
    _spec,
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[Object, Object]:
    """A pod and what somebody makes of it: another image, a debug container, other annotations, a wholly new spec."""
    old = draw(pods)
    new = {"metadata": dict(old["metadata"]), "spec": dict(old["spec"])}
    for change in draw(st.lists(st.sampled_from(("image", "debug", "annotations", "spec")), min_size=1, max_size=2)):
        if change == "image":
            first, *others = new["spec"]["containers"]
            new["spec"]["containers"] = [{**first, "image": "c"}, *others]
        elif change == "debug":
            new["spec"]["ephemeralContainers"] = [
                *(new["spec"].get("ephemeralContainers") or ()),
                draw(_container("debug")),
            ]
        elif change == "annotations":
            new["metadata"]["annotations"] = draw(annotations)
        else:
            new["spec"] = draw(_spec)
    return old, new
