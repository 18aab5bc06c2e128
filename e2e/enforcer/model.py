"""What the enforcer knows of the cluster: pods as the network sees them, labels, policies, and the node's own facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Labels = Mapping[str, str]
Manifest = Mapping[str, Any]
"""A Kubernetes object as the API server's JSON gives it."""

METADATA_NAME = "kubernetes.io/metadata.name"
"""The label that the API server puts on every namespace."""


class Protocol(StrEnum):
    """Transport protocols that a NetworkPolicy can name."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A container port that has a name; policies may use the name instead of the number."""

    name: str
    number: int
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod with a network of its own (not the host's) and at least one address, until it has ended."""

    namespace: str
    name: str
    labels: Labels
    addresses: tuple[Address, ...]
    ports: tuple[NamedPort, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the node's network is like. ``pod_ranges``: every address that a pod of this node may get.

    Other nodes' pods are their nodes' business: there a pod that is not known yet is closed."""

    pod_ranges: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Everything that the rules depend on. ``namespaces`` maps names to labels."""

    pods: tuple[Pod, ...] = ()
    namespaces: Mapping[str, Labels] = field(default_factory=dict)
    policies: tuple[Manifest, ...] = ()


def pod_from(manifest: Manifest, early: tuple[Address, ...] = ()) -> Pod | None:
    """Return the pod of an API object, or None while the network does not know it or no longer does.

    ``early`` holds the addresses that the network plugin gave to the pod on this node. They count before those in the
    status, which come later, and later again when the pod gets a new sandbox.
    """
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    if spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    listed = [each["ip"] for each in status.get("podIPs") or [] if each.get("ip")]
    single = [status["podIP"]] if status.get("podIP") else []
    addresses = early or tuple(ip_address(text) for text in dict.fromkeys(listed or single))
    if not addresses:
        return None
    metadata = manifest["metadata"]
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        addresses=addresses,
        ports=tuple(_named_ports(spec)),
    )


def namespace_labels(manifest: Manifest) -> Labels:
    """Return a namespace's labels, with the one for its name even if the object is older than that label."""
    metadata = manifest["metadata"]
    return {**(metadata.get("labels") or {}), METADATA_NAME: metadata["name"]}


def _named_ports(spec: Manifest) -> list[NamedPort]:
    """Names on ordinary containers and on native sidecars, which serve for as long as the pod does."""
    sidecars = [each for each in spec.get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    return [
        NamedPort(port["name"], port["containerPort"], Protocol(port.get("protocol") or "TCP"))
        for container in [*sidecars, *(spec.get("containers") or [])]
        for port in container.get("ports") or []
        if port.get("name")
    ]
