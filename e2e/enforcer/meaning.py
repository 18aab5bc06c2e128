"""What the policies mean for each pod: which addresses may use which ports, in each direction. Pure.

Follows the API's documentation of NetworkPolicy (networking.k8s.io/v1) where it speaks. Where it is silent: an ipBlock
matches pods' addresses too; a named port means every port of that name and protocol on the pod that is called;
an isolated pod's traffic of other protocols (ICMP) passes only where a rule names no ports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from e2e.enforcer import ranges, selectors
from e2e.enforcer.model import Address, Manifest, NamedPort, Pod, Protocol, World
from e2e.enforcer.ranges import PortRange, PortSet, Span

Version = Literal[4, 6]
VERSIONS: tuple[Version, ...] = (4, 6)
WHOLE: dict[Version, tuple[int, int]] = {4: (0, 2**32 - 1), 6: (0, 2**128 - 1)}


@dataclass(frozen=True, slots=True)
class Table:
    """What is open to (ingress) or from (egress) an isolated pod: disjoint spans per address family."""

    spans4: tuple[Span, ...]
    spans6: tuple[Span, ...]

    def spans(self, version: Version) -> tuple[Span, ...]:
        """The spans of one address family."""
        return self.spans4 if version == 4 else self.spans6

    def allows(self, peer: Address, protocol: Protocol, port: int) -> bool:
        """Return whether the peer may use the port."""
        spans = self.spans(peer.version)
        return any(span.first <= int(peer) <= span.last and span.ports.holds(protocol, port) for span in spans)


@dataclass(frozen=True, slots=True)
class Isolation:
    """A pod's tables; None for a direction in which no policy selects it, which is open."""

    ingress: Table | None
    egress: Table | None


def isolation(world: World) -> list[tuple[Pod, Isolation]]:
    """Return what the policies mean for each pod of ``world``, in the order of its pods."""
    return _Compiler(world).run()


def policy_types(policy: Manifest) -> tuple[str, ...]:
    """The directions of a policy; left out, they are Ingress, and Egress when it has egress rules."""
    spec = policy["spec"]
    given = tuple(spec.get("policyTypes") or ())
    return given or (("Ingress", "Egress") if spec.get("egress") else ("Ingress",))


class _Compiler:
    """Holds what is computed once for many pods: pods with the same policies and named ports share their tables."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.by_namespace: dict[str, list[Pod]] = {}
        for pod in world.pods:
            self.by_namespace.setdefault(pod.namespace, []).append(pod)
        self.known: dict[tuple[str, tuple[int, ...], tuple[NamedPort, ...]], Table] = {}

    def run(self) -> list[tuple[Pod, Isolation]]:
        selecting: dict[tuple[str, str], list[int]] = {}
        for number, policy in enumerate(self.world.policies):
            for pod in self.by_namespace.get(policy["metadata"]["namespace"], []):
                if selectors.matches(policy["spec"].get("podSelector") or {}, pod.labels):
                    selecting.setdefault((pod.namespace, pod.name), []).append(number)
        return [(pod, self._isolation(pod, selecting.get((pod.namespace, pod.name), []))) for pod in self.world.pods]

    def _isolation(self, pod: Pod, numbers: Sequence[int]) -> Isolation:
        tables: dict[str, Table | None] = {}
        for direction in ("Ingress", "Egress"):
            mine = tuple(each for each in numbers if direction in policy_types(self.world.policies[each]))
            tables[direction] = self._table(direction, mine, pod.ports) if mine else None
        return Isolation(tables["Ingress"], tables["Egress"])

    def _table(self, direction: str, numbers: tuple[int, ...], named: tuple[NamedPort, ...]) -> Table:
        key = (direction, numbers, named if direction == "Ingress" else ())
        if key not in self.known:
            spans: dict[Version, list[Span]] = {4: [], 6: []}
            for number in numbers:
                policy = self.world.policies[number]
                for version, span in self._grants(policy, direction, named):
                    spans[version].append(span)
            self.known[key] = Table(ranges.flatten(spans[4]), ranges.flatten(spans[6]))
        return self.known[key]

    def _grants(self, policy: Manifest, direction: str, named: tuple[NamedPort, ...]) -> Iterator[tuple[Version, Span]]:
        peer_field = "from" if direction == "Ingress" else "to"
        for rule in policy["spec"].get(direction.lower()) or []:
            entries = rule.get("ports") or []
            areas = list(self._areas(policy["metadata"]["namespace"], rule.get(peer_field) or []))
            if direction == "Ingress":
                ports = _ports(entries, named)
                yield from ((version, Span(first, last, ports)) for version, first, last in areas)
            else:
                numbered = _ports(entries, ())
                yield from ((version, Span(first, last, numbered)) for version, first, last in areas)
                yield from self._named_grants(entries, areas)

    def _named_grants(
        self, entries: Sequence[Manifest], areas: Sequence[tuple[Version, int, int]]
    ) -> Iterator[tuple[Version, Span]]:
        """Named ports in egress: they mean another number on each pod that is called."""
        entries = [entry for entry in entries if isinstance(entry.get("port"), str)]
        if not entries:
            return
        for pod in self.world.pods:
            ports = _ports(entries, pod.ports)
            for address in pod.addresses if ports != ranges.NOTHING else ():
                version, number = address.version, int(address)
                if any(area[0] == version and area[1] <= number <= area[2] for area in areas):
                    yield version, Span(number, number, ports)

    def _areas(self, namespace: str, peers: Sequence[Manifest]) -> Iterator[tuple[Version, int, int]]:
        """Address ranges of a rule's peers; no peers means everybody."""
        if not peers:
            yield from ((version, *WHOLE[version]) for version in VERSIONS)
        for peer in peers:
            if block := peer.get("ipBlock"):
                network = ip_network(block["cidr"], strict=False)
                holes = [ip_network(each, strict=False) for each in block.get("except") or []]
                yield from ((network.version, first, last) for first, last in ranges.subtract(network, holes))
            else:
                for pod in self._selected(namespace, peer):
                    yield from ((each.version, int(each), int(each)) for each in pod.addresses)

    def _selected(self, namespace: str, peer: Manifest) -> Iterator[Pod]:
        """Pods that a peer names. A peer that names nothing (the API refuses it) selects nobody."""
        of_pods, of_namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
        if of_pods is None and of_namespaces is None:
            return
        if of_namespaces is None:
            names = [namespace]
        else:
            labels = self.world.namespaces
            names = [each for each in self.by_namespace if selectors.matches(of_namespaces, labels.get(each, {}))]
        for name in names:
            for pod in self.by_namespace.get(name, []):
                if selectors.matches(of_pods or {}, pod.labels):
                    yield pod


def _ports(entries: Sequence[Manifest], named: Sequence[NamedPort]) -> PortSet:
    """The ports of a rule, with names looked up in ``named``; no entries means everything."""
    if not entries:
        return ranges.EVERYTHING
    return ranges.port_set(each for entry in entries for each in _entry(entry, named))


def _entry(entry: Manifest, named: Sequence[NamedPort]) -> Iterator[PortRange]:
    protocol, port = Protocol(entry.get("protocol") or "TCP"), entry.get("port")
    if port is None:
        yield PortRange(protocol, 0, ranges.LAST_PORT)
    elif isinstance(port, str):
        yield from (
            PortRange(protocol, each.number, each.number)
            for each in named
            if each.name == port and each.protocol == protocol
        )
    else:
        last = entry.get("endPort") or port
        if last >= port:
            yield PortRange(protocol, port, last)
