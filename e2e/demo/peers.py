"""Two programs that shake hands all the time with the certificates of their identities, and what they say of it.

Each runs e2e/demo/peer.py on the Python of Ringfence's image and mounts the Secret of its own identity. A third
identity has a Secret that no pod uses. Certificates live as short as they may, so that they are renewed every minute.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.demo.client import Client, Object

PROGRAM = Path(__file__).with_name("peer.py")
PORT = 8443
TTL, RENEW_AT = "10m", 0.1
_MOUNTED = "/identity"
_PYTHON = "/opt/ringfence/bin/python"
_USER = 10001

CALLS = {"orders": "stock", "stock": "orders"}
"""Who calls whom."""
ALGORITHMS = {"orders": "ECDSA-P256", "stock": "ECDSA-P384", "archive": "RSA-3072"}
"""Every identity, with the kind of its key."""


@dataclass(frozen=True, slots=True)
class Report:
    """What one program has seen since it started."""

    started: int
    handshakes: int
    failures: int
    last_failure: str
    serials: tuple[str, ...]
    """Of its own certificates, in the order in which it took them up."""
    issuers: tuple[str, ...]
    """SHA-256 of the roots that the other's certificates came from, in the order in which they came."""
    trusted: frozenset[str]
    """SHA-256 of the roots in its ca.crt now."""


def namespace(name: str) -> Object:
    """A namespace for them, closed."""
    metadata = {"name": name, "labels": {"ringfence.dev/enroll": "enforce"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def objects(space: str, image: str) -> list[Object]:
    """Everything in the namespace, in an order in which it can be applied. `image` is Ringfence's."""
    program: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "peer", "namespace": space},
        "data": {PROGRAM.name: PROGRAM.read_text()},
    }
    made = [program]
    for name in ALGORITHMS:
        made += _identity(space, name)
    for name, other in CALLS.items():
        made += [_policy(space, name, other), _service(space, name), _deployment(space, name, other, image)]
    return made


def secret_of(name: str) -> str:
    """The Secret of an identity."""
    return f"{name}-identity"


def wait_running(admin: Client, space: str, within: float = 90) -> None:
    """Returns when both have been answered by the other. Raises ClusterError."""
    for name in CALLS:
        target, timeout = f"deployment/{name}", f"--timeout={within:.0f}s"
        admin.run("rollout", "status", f"--namespace={space}", target, timeout, timeout=within + 10)


def report(admin: Client, space: str, name: str) -> Report:
    """The last word of one program. Raises ClusterError or ValueError when it has said nothing yet."""
    return parse(admin.run("logs", f"--namespace={space}", f"deployment/{name}", "--tail=1"))


def reports(admin: Client, space: str) -> dict[str, Report]:
    """The last words of both. Raises as `report`."""
    return {name: report(admin, space, name) for name in CALLS}


def parse(line: str) -> Report:
    """Reads what a program has printed. Raises ValueError when it is something else, such as a traceback."""
    said: dict[str, Any] = json.loads(line)
    return Report(
        started=said["started"],
        handshakes=said["handshakes"],
        failures=said["failures"],
        last_failure=said["lastFailure"],
        serials=tuple(said["serials"]),
        issuers=tuple(said["issuers"]),
        trusted=frozenset(said["trusted"]),
    )


def pod_spec(space: str, name: str, other: str, image: str, account: str = "") -> Object:
    """The pod of a program, under its own ServiceAccount or under `account`."""
    expected = f"spiffe://cluster.local/ns/{space}/sa/{other}"
    arguments = [_MOUNTED, f"--port={PORT}", f"--peer={other}.{space}.svc:{PORT}", f"--expect={expected}"]
    return {
        "serviceAccountName": account or name,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "peer",
                "image": image,
                "command": [_PYTHON, f"/program/{PROGRAM.name}", *arguments],
                "ports": [{"name": "tls", "containerPort": PORT}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": "identity", "mountPath": _MOUNTED, "readOnly": True},
                    {"name": "program", "mountPath": "/program", "readOnly": True},
                ],
            }
        ],
        "volumes": [
            {"name": "identity", "secret": {"secretName": secret_of(name), "defaultMode": 0o440}},
            {"name": "program", "configMap": {"name": "peer"}},
        ],
    }


def _identity(space: str, name: str) -> list[Object]:
    place = {"name": name, "namespace": space}
    certificate = {
        "secretName": secret_of(name),
        "ttl": TTL,
        "renewAt": RENEW_AT,
        "keyAlgorithm": ALGORITHMS[name],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place, "automountServiceAccountToken": False},
        {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "ServiceIdentity",
            "metadata": place,
            "spec": {"certificate": certificate},
        },
    ]


def _policy(space: str, name: str, caller: str) -> Object:
    rule = {"name": caller, "from": [{"identity": {"namespace": space, "name": caller}}], "ports": [PORT]}
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": space},
        "spec": {"appliesTo": {"identities": [name]}, "ingress": [rule]},
    }


def _service(space: str, name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space},
        "spec": {"selector": {"app": name}, "ports": [{"name": "tls", "port": PORT}]},
    }


def _deployment(space: str, name: str, other: str, image: str) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(space, name, other, image)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": space},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }
