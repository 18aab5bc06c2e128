"""What of an object a cache keeps. Ten thousand whole pods are 300 MB of dicts; what decisions need is 15.

A trim takes a freshly decoded object, may change it, and returns what to keep. ``metadata.name``, ``namespace``,
``uid`` and ``resourceVersion`` always stay.
"""

from collections.abc import Callable
from typing import Any

from ringfence.controls import ways_past
from ringfence.model import proxy
from ringfence.model.names import LABEL_IDENTITY

Trim = Callable[[dict[str, Any]], dict[str, Any]]

_BULKY_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration",)


def without_noise(obj: dict[str, Any]) -> dict[str, Any]:
    """Everything but managedFields, selfLink and what kubectl keeps for itself."""
    metadata = obj.get("metadata", {})
    metadata.pop("managedFields", None)
    metadata.pop("selfLink", None)
    annotations = metadata.get("annotations")
    if annotations:
        for name in _BULKY_ANNOTATIONS:
            annotations.pop(name, None)
    return obj


def pod(obj: dict[str, Any]) -> dict[str, Any]:
    """What model.world.Workload and staging need of a Pod.

    Labels, account, host network, named ports, phase, IPs, whether the proxy is in it, and of pods with an identity
    whether they could go past it.
    """
    kept = _pod(obj)
    if LABEL_IDENTITY in (kept["metadata"].get("labels") or {}) and ways_past.has_one(obj):
        kept["waysPast"] = True
    return kept


def _pod(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = obj.get("metadata", {})
    spec = obj.get("spec", {})
    status = obj.get("status", {})
    kept: dict[str, Any] = {
        "metadata": {
            key: metadata[key]
            for key in ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
            if key in metadata
        },
        "spec": {"serviceAccountName": spec.get("serviceAccountName") or "default"},
        "status": {"phase": status.get("phase", "")},
    }
    if spec.get("hostNetwork"):
        kept["spec"]["hostNetwork"] = True
    if ports := _named_ports(spec):
        kept["spec"]["containers"] = [{"ports": ports}]
    if any(each.get("name") == proxy.CONTAINER for each in spec.get("initContainers") or ()):
        kept["spec"]["initContainers"] = [{"name": proxy.CONTAINER}]
    if status.get("podIPs"):
        kept["status"]["podIPs"] = status["podIPs"]
    return kept


def mesh_pod(obj: dict[str, Any]) -> dict[str, Any]:
    """What proxyd needs of a Pod: as ``pod``, the node, what its kubelet says of its containers, and of pods with the
    proxy all ports and probes; not what only a status tells.
    """
    spec = obj.get("spec", {})
    kept = _pod(obj)
    conditions = (obj.get("status") or {}).get("conditions") or ()
    told = [{key: each.get(key) for key in ("type", "status")} for each in conditions]
    kept["status"]["conditions"] = [each for each in told if each["type"] == "ContainersReady"]
    if spec.get("readinessGates"):
        kept["spec"]["readinessGates"] = spec["readinessGates"]
    if "nodeName" in spec:
        kept["spec"]["nodeName"] = spec["nodeName"]
    if "initContainers" in kept["spec"]:
        for section in ("containers", "initContainers"):
            kept["spec"][section] = [_served(each) for each in spec.get(section) or ()]
    return kept


def _served(container: dict[str, Any]) -> dict[str, Any]:
    """Ports and probes of a container, and whether it is a native sidecar."""
    wanted = ("name", "restartPolicy", "ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle")
    return {key: container[key] for key in wanted if key in container}


def mesh_service(obj: dict[str, Any]) -> dict[str, Any]:
    """Where a Service is and which pods it selects."""
    spec = obj.get("spec", {})
    wanted = ("selector", "type", "clusterIP", "clusterIPs", "ports")
    return {**metadata(obj), "spec": {key: spec[key] for key in wanted if key in spec}}


def mesh_slice(obj: dict[str, Any]) -> dict[str, Any]:
    """Which pods are behind a Service, at which addresses, and whether each is ready."""
    endpoints = [
        {
            "addresses": each.get("addresses") or [],
            "conditions": {key: (each.get("conditions") or {}).get(key) for key in ("ready", "terminating")},
            "targetRef": each.get("targetRef") or {},
        }
        for each in obj.get("endpoints") or ()
    ]
    return {**metadata(obj), "endpoints": endpoints}


def service(obj: dict[str, Any]) -> dict[str, Any]:
    """Which pods a Service selects, and what it says of its ports."""
    kept = metadata(obj)
    spec = obj.get("spec", {})
    return {**kept, "spec": {key: spec[key] for key in ("selector", "type", "ports") if key in spec}}


def _named_ports(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The ports that a policy can name, of containers and native sidecars."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    return [
        {"name": port["name"], "containerPort": port.get("containerPort", 0), "protocol": port.get("protocol", "TCP")}
        for container in containers
        for port in container.get("ports") or ()
        if port.get("name")
    ]


def metadata(obj: dict[str, Any]) -> dict[str, Any]:
    """Names and labels alone: enough to know that an object is there and whose it is."""
    source = obj.get("metadata", {})
    return {
        "metadata": {
            key: source[key]
            for key in ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
            if key in source
        }
    }
