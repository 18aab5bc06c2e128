"""The pods behind each Service: those that it selects, that exist, and that have the address an EndpointSlice says.

Tenants write EndpointSlices, so nothing in one makes a pod of what is none, nor another identity of what it is.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ringfence.model.mesh import Mesh, ServicePort, ServiceValue
from ringfence.model.resources import Protocol
from ringfence.model.world import Workload
from ringfence.policy import reach
from ringfence.policy.callers import on_network
from ringfence.policy.reach import Target
from ringfence.translate.envoy.clusters import Endpoint

_KEY: Final = "behind"
#: The Service that leads to the API server.
_API_SERVER: Final = ("default", "kubernetes")


@dataclass(frozen=True, slots=True)
class Member:
    """A pod behind a Service; ``address`` is "" as long as it has none.

    ``target`` is None in the network of its node: it is an address then, and no more.
    """

    pod: Workload
    address: str
    target: Target | None
    ready: bool

    def port(self, port: ServicePort) -> int | None:
        """The port of the pod that a Service's port leads to; None when it has none of that name."""
        if isinstance(port.target, int):
            return port.target
        named = (p.port for p in self.pod.ports if p.name == port.target and p.protocol is Protocol.TCP)
        return next(named, None)


@dataclass(frozen=True, slots=True)
class Group:
    """Pods behind a port of a Service that are alike to every caller, ``first`` among them, and their own port.

    ``endpoints`` are those of them that are ready, sorted.
    """

    first: Member
    port: int
    endpoints: tuple[Endpoint, ...]

    @property
    def mesh(self) -> bool:
        """Whether they answer in mutual TLS."""
        return self.first.target is not None and self.first.target.mesh


@dataclass(slots=True)
class Behind:
    """All Services with their pods; ``by_target`` and ``on_nodes`` hold the Services by who is behind them."""

    members: dict[ServiceValue, tuple[Member, ...]] = field(default_factory=dict)
    by_target: dict[Target, list[ServiceValue]] = field(default_factory=lambda: defaultdict(list))
    on_nodes: list[ServiceValue] = field(default_factory=list)
    api_server: ServiceValue | None = None
    _groups: dict[tuple[ServiceValue, ServicePort, bool], tuple[Group, ...]] = field(default_factory=dict)

    def groups(self, service: ServiceValue, port: ServicePort, *, by_pod: bool) -> tuple[Group, ...]:
        """The pods that have a Service's port; ``by_pod``: each by itself, since its address counts."""
        key = service, port, by_pod
        if key not in self._groups:
            alike: dict[object, list[tuple[Member, int]]] = {}
            for member in self.members[service]:
                number = member.port(port)
                if number is not None:
                    by_itself = by_pod or member.target is None
                    alike.setdefault(object() if by_itself else (member.target, number), []).append((member, number))
            self._groups[key] = tuple(_group(found) for found in alike.values())
        return self._groups[key]


def _group(found: list[tuple[Member, int]]) -> Group:
    first, port = found[0]
    mesh = first.target is not None and first.target.mesh
    ready = {Endpoint(member.address, port, mesh) for member, _ in found if member.ready}
    return Group(first, port, tuple(sorted(ready)))


def behind(mesh: Mesh) -> Behind:
    """The Services of a snapshot, worked out at the first question."""
    if _KEY not in mesh.kept:
        mesh.kept[_KEY] = _made(mesh)
    found: Behind = mesh.kept[_KEY]
    return found


def _made(mesh: Mesh) -> Behind:
    found = Behind()
    answers = reach.of(mesh)
    for namespace in sorted(mesh.services):
        pods = {pod.name: pod for pod in mesh.world.workloads.get(namespace, ()) if not pod.finished}
        for service in mesh.services[namespace]:
            if (namespace, service.name) == _API_SERVER:
                found.api_server = service
            elif service.selector:
                members = tuple(_members(service, pods, mesh, answers.target_of))
                found.members[service] = members
                for target in sorted({m.target for m in members if m.target is not None}):
                    found.by_target[target].append(service)
                if any(member.target is None for member in members):
                    found.on_nodes.append(service)
    return found


def _members(
    service: ServiceValue, pods: dict[str, Workload], mesh: Mesh, targets: dict[tuple[str, str], Target]
) -> Iterator[Member]:
    told = mesh.endpoints.get((service.namespace, service.name))
    if told is None:
        chosen = (pod for pod in pods.values() if set(service.selector) <= pod.labels.items())
        # What does not run yet has no address, and counts all the same for who is behind the Service.
        pairs = [(pod, ip, bool(ip)) for pod in chosen for ip in pod.ips or ("",)]
    else:
        real = ((pods.get(each.pod), each) for each in told)
        pairs = [
            (pod, each.address, each.ready)
            for pod, each in real
            if pod is not None and set(service.selector) <= pod.labels.items()
        ]
    for pod, address, ready in sorted(pairs, key=lambda pair: (pair[1], pair[0].name)):
        target = targets.get((pod.namespace, pod.name)) if on_network(pod) else None
        if told is None or _has(pod, address) or _is_new(pod, target):
            yield Member(pod, address, target, ready)


def _is_new(pod: Workload, target: Target | None) -> bool:
    """Whether a pod may have an address that has not been heard of yet: slices and pods come by different watches.

    Only with a proxy, since it must show that it is who the policy names, wherever the address leads.
    """
    return target is not None and target.mesh and not pod.ips


def _has(pod: Workload, address: str) -> bool:
    if address in pod.ips:
        return True
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ipaddress.ip_address(ip) == wanted for ip in pod.ips)
