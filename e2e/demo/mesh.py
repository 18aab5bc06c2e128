"""Programs of a mesh: pods that speak in the clear, and what one of them gets from another.

Each runs e2e/demo/speaker.py on the Python of Ringfence's image. What the network does to a call cannot be told from
connecting (a proxy takes every connection), so each call is a whole exchange.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from e2e.demo.client import Client, Done, Object

PROGRAM = Path(__file__).with_name("speaker.py")
HTTP, GREETING = 8080, 9000
PYTHON = "/opt/ringfence/bin/python"
PROXY = "ringfence-proxy"
_USER = 10001
REFUSED = ("403", "503", "closed", "silent")
"""How a call may end that does not pass."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: a status of HTTP, ``greeted``, ``closed``, ``refused``, ``silent`` or ``no name``."""

    outcome: str
    said: str
    seconds: float


def program(space: str) -> Object:
    """The ConfigMap from which the pods run."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "speaker", "namespace": space},
        "data": {PROGRAM.name: PROGRAM.read_text()},
    }


def service(space: str, name: str, image: str, *arguments: str, replicas: int = 1) -> list[Object]:
    """ServiceAccount, ServiceIdentity, Service and Deployment of one program; ``arguments`` instead of serving."""
    place = {"name": name, "namespace": space}
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(name, image, *arguments)}
    ports = [
        {"name": "http", "port": 80, "targetPort": HTTP},
        {"name": "tcp-greeting", "port": GREETING},
    ]
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place, "automountServiceAccountToken": False},
        {"apiVersion": "ringfence.dev/v1alpha1", "kind": "ServiceIdentity", "metadata": place, "spec": {}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": place,
            "spec": {"selector": {"app": name}, "ports": ports},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": place,
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
        },
    ]


def pod_spec(account: str, image: str, *arguments: str) -> Object:
    """One container that passes the restricted standard."""
    serving = not arguments
    container: Object = {
        "name": "speaker",
        "image": image,
        "command": [PYTHON, f"/program/{PROGRAM.name}", *(arguments or ("serve",))],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "program", "mountPath": "/program", "readOnly": True}],
    }
    if serving:
        container["ports"] = [
            {"name": "http", "containerPort": HTTP},
            {"name": "greeting", "containerPort": GREETING},
        ]
        container["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1}
        container["livenessProbe"] = {"tcpSocket": {"port": GREETING}, "periodSeconds": 5}
    return {
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": "speaker"}}],
    }


def allow(space: str, target: str, source: str, *ports: int) -> Object:
    """A policy that lets one identity call another on these ports."""
    peer = {"identity": {"namespace": space, "name": source}}
    return policy(space, f"{target}-{source}", target, [{"name": source, "from": [peer], "ports": list(ports)}])


def policy(space: str, name: str, target: str, ingress: list[Object], **more: object) -> Object:
    """A SecurityPolicy for one identity."""
    return {
        "apiVersion": "ringfence.dev/v1alpha1",
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": space},
        "spec": {"appliesTo": {"identities": [target]}, "ingress": ingress, **more},
    }


def wait_running(admin: Client, space: str, *names: str, within: float = 120) -> None:
    """Returns when all are rolled out. Raises ClusterError."""
    for name in names:
        target, timeout = f"deployment/{name}", f"--timeout={within:.0f}s"
        admin.run("rollout", "status", f"--namespace={space}", target, timeout, timeout=within + 10)


def call(admin: Client, space: str, source: str, host: str, port: int, path: str = "/", *options: str) -> Answer:
    """What the program of a Deployment gets from host:port. Raises AssertionError when it could not ask."""
    (answer,) = calls(admin, space, source, host, port, path, *options)
    return answer


def calls(
    admin: Client, space: str, source: str, host: str, port: int, path: str = "/", *options: str, times: int = 1
) -> list[Answer]:
    """The same many times at once; ``options`` as ``call`` of the program takes them (--method, --header)."""
    done = execute(
        admin,
        space,
        f"deployment/{source}",
        f"/program/{PROGRAM.name}",
        "call",
        host,
        str(port),
        path,
        f"--times={times}",
        *options,
    )
    assert done.ok, f"{source} could not ask: {done.message}"
    return [Answer(**json.loads(line)) for line in done.out.splitlines()]


def execute(admin: Client, space: str, target: str, *arguments: str) -> Done:
    """Python in the program's container."""
    return admin.attempt("exec", f"--namespace={space}", target, "--container=speaker", "--", PYTHON, *arguments)


def load_report(admin: Client, space: str, name: str) -> dict[str, int]:
    """What a program that loads another has counted: answers by status, failures by name. Raises as ``load_said``."""
    counts: dict[str, int] = load_said(admin, space, name)["counts"]
    return counts


def load_said(admin: Client, space: str, name: str) -> Object:
    """The last line of a program that loads another. Raises ClusterError or ValueError when it has said nothing."""
    line = admin.run("logs", f"--namespace={space}", f"deployment/{name}", "--container=speaker", "--tail=1")
    said: Object = json.loads(line)
    return said


def proxy_log(admin: Client, space: str, name: str, word: str) -> list[str]:
    """The lines of a program's proxy that hold a word."""
    lines = admin.run("logs", f"--namespace={space}", f"--selector=app={name}", f"--container={PROXY}", "--tail=-1")
    return [line for line in lines.splitlines() if word in line]
