"""A NetworkPolicy evaluator of our own, by the words of the Kubernetes API reference.

A second judge beside cyclonus: slow, plain, and without a line of the compiler's.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ringfence.model.world import Namespace, Workload
from ringfence.policy.ends import Address

Manifest = Mapping[str, Any]


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for requirement in selector.get("matchExpressions", []):
        key, values = requirement["key"], requirement.get("values", [])
        match requirement["operator"]:
            case "In":
                good = key in labels and labels[key] in values
            case "NotIn":
                good = key not in labels or labels[key] not in values
            case "Exists":
                good = key in labels
            case "DoesNotExist":
                good = key not in labels
            case other:
                raise AssertionError(f"no such operator: {other}")
        if not good:
            return False
    return True


class Evaluator:
    """Answers for one set of NetworkPolicies."""

    def __init__(self, namespaces: Mapping[str, Namespace], policies: Iterable[Manifest]) -> None:
        self._namespaces = namespaces
        self._policies = list(policies)

    def half(
        self, direction: str, governed: Workload | Address, other: Workload | Address, target: Any, port: Any
    ) -> bool:
        """Whether the policies at ``governed`` let ``other`` use ``port`` (protocol, number) of ``target``."""
        if isinstance(governed, Address) or governed.host_network:
            return True
        own = [p for p in self._policies if self._applies(p, governed, direction)]
        return not own or any(
            self._entry(entry, direction, p["metadata"]["namespace"], other, target, port)
            for p in own
            for entry in p["spec"].get(direction, [])
        )

    def _applies(self, policy: Manifest, pod: Workload, direction: str) -> bool:
        return (
            policy["metadata"]["namespace"] == pod.namespace
            and direction.capitalize() in policy["spec"]["policyTypes"]
            and selects(policy["spec"]["podSelector"], pod.labels)
        )

    def _entry(self, entry: Manifest, direction: str, home: str, other: Any, target: Any, port: Any) -> bool:
        ends = entry.get("from" if direction == "ingress" else "to", [])
        ports = entry.get("ports", [])
        return (not ends or any(self._peer(peer, home, other) for peer in ends)) and (
            not ports or any(_port(one, target, *port) for one in ports)
        )

    def _peer(self, peer: Manifest, home: str, other: Any) -> bool:
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            mine = [other.ip] if isinstance(other, Address) else list(other.ips)
            return any(
                _inside(ip, block["cidr"]) and not any(_inside(ip, e) for e in block.get("except", [])) for ip in mine
            )
        if isinstance(other, Address) or other.host_network:
            return False
        if "namespaceSelector" in peer:
            if not selects(peer["namespaceSelector"], self._namespaces[other.namespace].labels):
                return False
        elif other.namespace != home:
            return False
        return selects(peer.get("podSelector", {}), other.labels)


def _inside(ip: str, cidr: str) -> bool:
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)


def _port(one: Manifest, target: Any, protocol: str, number: int) -> bool:
    if one.get("protocol", "TCP") != protocol:
        return False
    wanted = one.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        named = () if isinstance(target, Address) else target.ports
        return any(p.name == wanted and p.port == number and p.protocol == protocol for p in named)
    return bool(wanted <= number <= one.get("endPort", wanted))
