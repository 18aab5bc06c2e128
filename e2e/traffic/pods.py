"""The objects of the traffic's pods. Their program is this package, in a ConfigMap, on the Python of Ringfence's
image.
"""

from pathlib import Path
from typing import Any

from e2e.demo import mesh
from e2e.demo.client import Object
from e2e.traffic.__main__ import DATAGRAMS, FRAMES, LINES, OPEN_LINES, STREAMS, WEB

PROGRAM = ("__init__.py", "__main__.py", "frames.py", "lines.py", "streams.py", "web.py")
CONTAINER = "traffic"
RUN = (mesh.PYTHON, "-m", "e2e.traffic")
NO_SERVER = DATAGRAMS - 1
"""A UDP port that policy opens and nobody serves."""
SERVED = [
    # The name of a port of the container, which is another number than the Service's.
    {"name": "http", "port": 80, "targetPort": "web"},
    {"name": "http2-frames", "port": 81, "targetPort": FRAMES},
    {"name": "calls", "port": 82, "targetPort": STREAMS, "appProtocol": "grpc"},
    {"name": "tcp-lines", "port": LINES},
    {"name": "tcp-open", "port": OPEN_LINES},
    {"name": "datagrams", "port": DATAGRAMS, "protocol": "UDP"},
]


def program(space: str) -> Object:
    """The ConfigMap with the program."""
    here = Path(__file__).parent
    metadata = {"name": "traffic", "namespace": space}
    data = {name: (here / name).read_text() for name in PROGRAM}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def identity(space: str, name: str) -> list[Object]:
    """ServiceAccount and ServiceIdentity."""
    place = {"name": name, "namespace": space}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": place, "automountServiceAccountToken": False},
        {"apiVersion": "ringfence.dev/v1alpha1", "kind": "ServiceIdentity", "metadata": place, "spec": {}},
    ]


def service(space: str, name: str, **spec: Any) -> Object:
    """A Service with all ports."""
    made = {"selector": {"app": name}, "ports": SERVED, **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": space}, "spec": made}


def workload(space: str, name: str, image: str, *arguments: str, kind: str = "Deployment", **spec: Any) -> Object:
    """A Deployment or a StatefulSet; ``arguments`` of the program, to serve by default."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec(name, image, *arguments)}
    made = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": space}, "spec": made}


def pod(space: str, name: str, account: str, image: str, *arguments: str, **spec: Any) -> Object:
    """A pod of its own; ``spec`` goes over what it would have."""
    metadata = {"name": name, "namespace": space, "labels": {"app": name}}
    made = {**pod_spec(account, image, *arguments), **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": made}


def pod_spec(account: str, image: str, *arguments: str) -> Object:
    """One container that passes the restricted standard."""
    made = container(image, *(arguments or ("serve",)))
    if not arguments:
        made["ports"] = [{"name": "web", "containerPort": WEB}, {"name": "lines", "containerPort": LINES}]
        made["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": "web"}, "periodSeconds": 1}
        made["livenessProbe"] = {"tcpSocket": {"port": LINES}, "periodSeconds": 5}
    return {
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [made],
        "volumes": [{"name": "program", "configMap": {"name": "traffic"}}],
    }


def container(image: str, *arguments: str, name: str = CONTAINER) -> Object:
    """A container that runs the program."""
    return {
        "name": name,
        "image": image,
        "command": [*RUN, *arguments],
        "env": [{"name": "PYTHONPATH", "value": "/program"}, {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "program", "mountPath": "/program/e2e/traffic", "readOnly": True}],
    }
