"""The controls against Kubernetes' own Pod Security admission: the same pod must get the same verdict from both.

The API server's admission plugin is the reference: every variation is created as a dry run in a namespace that enforces
the level, and what it says is compared with what the controls find.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.controls import registry
from ringfence.controls.pod import Subject, of
from ringfence.model.resources import PodSecurityLevel

from e2e.cluster import controlplane
from tests.component.requests_as import Api
from tests.component.webhook_rig import container, pod, until

pytestmark = pytest.mark.component

LEVELS = (PodSecurityLevel.BASELINE, PodSecurityLevel.RESTRICTED)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with controlplane.ControlPlane("pod-security", controllers=["serviceaccount-controller"]) as plane:
        made = Api(plane)
        for level in LEVELS:
            labels = {
                "pod-security.kubernetes.io/enforce": level.value,
                "pod-security.kubernetes.io/enforce-version": "latest",
            }
            metadata = {"name": level.value, "labels": labels}
            assert made.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).ok
        for level in LEVELS:
            account = f"/api/v1/namespaces/{level.value}/serviceaccounts/default"
            until(lambda account=account: made.request("GET", account).ok, 20)
        yield made


def _on_container(**context: Any) -> dict[str, Any]:
    return {"containers": [container("main", context=context)]}


def _on_pod(**context: Any) -> dict[str, Any]:
    good = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"securityContext": {**good, **context}}


def _volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "data", **source}]}


def _probe(**handler: Any) -> dict[str, Any]:
    return {"containers": [container("main", livenessProbe=handler)]}


VARIATIONS: dict[str, dict[str, Any]] = {
    "good": {},
    "host network": {"hostNetwork": True},
    "host pid": {"hostPID": True},
    "host ipc": {"hostIPC": True},
    "host users": {"hostUsers": False},
    "host users and root": {"hostUsers": False, **_on_pod(runAsUser=0)},
    "privileged": {"containers": [container("main", context={"privileged": True, "allowPrivilegeEscalation": True})]},
    "not privileged": _on_container(privileged=False),
    "init privileged": {
        "initContainers": [container("init", context={"privileged": True, "allowPrivilegeEscalation": True})]
    },
    "sidecar with a host port": {
        "initContainers": [container("side", restartPolicy="Always", ports=[{"containerPort": 80, "hostPort": 8080}])]
    },
    "no context": {"containers": [{"name": "main", "image": "x"}]},
    "empty context": {"containers": [{"name": "main", "image": "x", "securityContext": {}}]},
    "no pod context": {"securityContext": {}},
    "host port 0": {"containers": [container("main", ports=[{"containerPort": 80, "hostPort": 0}])]},
    "host port": {"containers": [container("main", ports=[{"containerPort": 80, "hostPort": 80}])]},
    "host path": _volume(hostPath={"path": "/"}),
    "empty dir": _volume(emptyDir={}),
    "no source": {"volumes": [{"name": "data"}]},
    "config map": _volume(configMap={"name": "x"}),
    "secret": _volume(secret={"secretName": "x"}),
    "downward": _volume(downwardAPI={"items": []}),
    "projected": _volume(projected={"sources": []}),
    "csi": _volume(csi={"driver": "example.com"}),
    "image": _volume(image={"reference": "registry.example/x:1"}),
    "claim": _volume(persistentVolumeClaim={"claimName": "x"}),
    "nfs": _volume(nfs={"server": "x", "path": "/"}),
    "iscsi": _volume(iscsi={"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:x", "lun": 0}),
    "empty ephemeral": _volume(
        ephemeral={
            "volumeClaimTemplate": {
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
            }
        }
    ),
    "windows host process on the pod": _on_pod(windowsOptions={"hostProcess": True}) | {"hostNetwork": True},
    "windows host process false": _on_pod(windowsOptions={"hostProcess": False}),
    "windows host process on a container": _on_container(windowsOptions={"hostProcess": True}),
    "windows": {
        "os": {"name": "windows"},
        "securityContext": {"runAsNonRoot": True},
        "containers": [{"name": "main", "image": "x"}],
    },
    "linux": {"os": {"name": "linux"}},
    "pod runs as root": _on_pod(runAsUser=0),
    "pod runs as 1000": _on_pod(runAsUser=1000),
    "container runs as root": _on_container(runAsUser=0),
    "pod says root is fine": _on_pod(runAsNonRoot=False),
    "container says root is fine": _on_container(runAsNonRoot=False),
    "container alone says not root": {
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        **_on_container(runAsNonRoot=True),
    },
    "container overrides the pod": _on_pod(runAsNonRoot=False) | _on_container(runAsNonRoot=True),
    "escalation allowed": _on_container(allowPrivilegeEscalation=True),
    "escalation unset": {
        "containers": [{"name": "main", "image": "x", "securityContext": {"capabilities": {"drop": ["ALL"]}}}]
    },
    "host probe": _probe(httpGet={"port": 80, "host": "10.0.0.1"}),
    "local probe": _probe(httpGet={"port": 80, "host": "127.0.0.1"}),
    "probe": _probe(httpGet={"port": 80}),
    "tcp host probe": _probe(tcpSocket={"port": 80, "host": "metadata.internal"}),
    "exec probe": _probe(exec={"command": ["true"]}),
    "startup probe": {"containers": [container("main", startupProbe={"tcpSocket": {"port": 80, "host": "x"}})]},
    "readiness probe": {"containers": [container("main", readinessProbe={"httpGet": {"port": 80, "host": "x"}})]},
    "post start": {"containers": [container("main", lifecycle={"postStart": {"httpGet": {"port": 80, "host": "x"}}})]},
    "pre stop": {"containers": [container("main", lifecycle={"preStop": {"tcpSocket": {"port": 80, "host": "x"}}})]},
    "pre stop sleep": {"containers": [container("main", lifecycle={"preStop": {"sleep": {"seconds": 1}}})]},
}
for _name in (
    "NET_BIND_SERVICE",
    "CHOWN",
    "NET_RAW",
    "NET_ADMIN",
    "net_admin",
    "CAP_CHOWN",
    "ALL",
    "SYS_PTRACE",
    "AUDIT_WRITE",
    "MKNOD",
    "SETFCAP",
    "",
):
    VARIATIONS[f"adds {_name!r}"] = _on_container(capabilities={"drop": ["ALL"], "add": [_name]})
for _drop in (["all"], ["CAP_ALL"], ["NET_RAW"], [], ["ALL", "NET_RAW"]):
    VARIATIONS[f"drops {_drop}"] = _on_container(capabilities={"drop": _drop})
for _type in ("Unconfined", "RuntimeDefault", "Localhost"):
    _profile = {"type": _type, **({"localhostProfile": "x.json"} if _type == "Localhost" else {})}
    VARIATIONS[f"pod seccomp {_type}"] = _on_pod(seccompProfile=_profile)
    VARIATIONS[f"container seccomp {_type}"] = _on_container(seccompProfile=_profile)
    VARIATIONS[f"container alone seccomp {_type}"] = {
        "securityContext": {"runAsNonRoot": True},
        **_on_container(seccompProfile=_profile),
    }
    VARIATIONS[f"pod AppArmor {_type}"] = _on_pod(appArmorProfile=_profile)
    VARIATIONS[f"container AppArmor {_type}"] = _on_container(appArmorProfile=_profile)
for _mount in ("Default", "Unmasked"):
    for _users in (True, False):
        VARIATIONS[f"proc {_mount} with hostUsers {_users}"] = {"hostUsers": _users, **_on_container(procMount=_mount)}
for _options in (
    {"type": "container_t"},
    {"type": "container_init_t"},
    {"type": "container_kvm_t"},
    {"type": "container_engine_t"},
    {"type": "spc_t"},
    {"type": ""},
    {"user": "x"},
    {"role": "x"},
    {"level": "s0:c1,c2"},
    {},
):
    VARIATIONS[f"pod SELinux {_options}"] = _on_pod(seLinuxOptions=_options)
    VARIATIONS[f"container SELinux {_options}"] = _on_container(seLinuxOptions=_options)
for _sysctl in (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "kernel.msgmax",
    "net.core.somaxconn",
    "kernel/shm_rmid_forced",
):
    VARIATIONS[f"sysctl {_sysctl}"] = _on_pod(sysctls=[{"name": _sysctl, "value": "1"}])

ANNOTATIONS = {
    f"annotation {key.partition('/')[0]} {value}": {key: value}
    for key, value in itertools.product(
        (
            "container.apparmor.security.beta.kubernetes.io/main",
            "seccomp.security.alpha.kubernetes.io/pod",
            "container.seccomp.security.alpha.kubernetes.io/main",
        ),
        ("unconfined", "runtime/default", "localhost/x"),
    )
}


def _pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, spec in VARIATIONS.items():
        yield name, pod("varied", "", **copy.deepcopy(spec))
    for name, annotations in ANNOTATIONS.items():
        varied = pod("varied", "")
        varied["metadata"]["annotations"] = annotations
        yield name, varied


@pytest.mark.parametrize("level", LEVELS)
def test_controls_agree_with_pod_security_admission(api: Api, level: PodSecurityLevel) -> None:
    """All variations; one test so that the API server starts once and every disagreement is seen at once."""
    disagreements, judged = [], 0
    for name, obj in _pods():
        obj["metadata"]["namespace"] = level.value
        reply = api.create(obj, dry_run=True)
        if not reply.ok and "violates PodSecurity" not in reply.message:
            assert reply.status == 422, f"{name}: {reply.message}"
            continue  # The API server's own validation refuses it, so nobody can have such a pod.
        judged += 1
        # What the API server made of it, defaults and all, is what a webhook is shown.
        subject = Subject(of(reply.body if reply.ok else obj))
        found = [f"{c.id}: {each.field}" for c in registry.active(level) for each in c.check(subject)]
        if reply.ok != (not found):
            said = "allows" if reply.ok else reply.message
            disagreements.append(f"{name}: Kubernetes {said}; Ringfence found {found}")
    assert not disagreements, "\n".join(disagreements)
    assert judged > 100
