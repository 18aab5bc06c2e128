"""Where a proxy lets its program go: to what the policies let this identity call, each in the way that it answers.

By the address that is called: Services of enrolled namespaces as clusters of their pods, pods by their own addresses
and as one identity each, everything else that is open as it is. The rest is refused, or passed and written down where
the namespace is not closed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_pb2

from ringfence.model import proxy
from ringfence.model.effective import AddressPeers, Direction, EffectivePolicy
from ringfence.model.mesh import Mesh, ServicePort, ServiceValue
from ringfence.model.proxy import Resource
from ringfence.model.resources import Mode, Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import Enrolment, Workload
from ringfence.policy import reach, speech
from ringfence.policy.ends import Address, End
from ringfence.policy.reach import EVERY_PORT, PORT, Reach, Target
from ringfence.translate.envoy import (
    clusters,
    filters,
    hosts,
    logs,
    matching,
    messages,
    names,
    networks,
    principals,
    rules,
    shared,
)
from ringfence.translate.envoy.behind import Group, Member, behind
from ringfence.translate.envoy.filters import Bounds
from ringfence.translate.envoy.inbound import FIRST_BYTES, Made, listening, original_destination, tls_inspector
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.rules import PortRules
from ringfence.translate.envoy.subject import Subject

#: Ports of one address that the tree spells out; where more would have to be, the chain asks.
MAX_PORTS: Final = 512

#: What is open at an address: ports and the chain that takes them.
Node = tuple[tuple[Spans, str], ...]
#: The other end of a call, and the names of its ports.
Named = tuple[End, tuple[tuple[str, int], ...]]


@dataclass(slots=True)
class Outbound:
    """The outbound side of a class of proxies; ``source`` is one of its pods."""

    subject: Subject
    policy: EffectivePolicy
    mesh: Mesh
    bounds: Bounds
    source: Workload
    made: Made = field(default_factory=Made)
    clusters: dict[str, Resource] = field(default_factory=dict)
    endpoints: dict[str, Resource] = field(default_factory=dict)
    _places: dict[str, Node] = field(default_factory=dict)
    _named: dict[int, Message] = field(default_factory=dict)
    _opened: dict[Target, Spans] = field(default_factory=dict)
    _denied: dict[Target, Spans] = field(default_factory=dict)
    #: The rules that govern the pods' own calls, by address.
    egress: EffectivePolicy = field(init=False)
    _hosts: tuple[hosts.Named, ...] = field(init=False)
    _by_pod: bool = field(init=False)
    _audited: bool = field(init=False)
    _digest: str = field(init=False)

    def __post_init__(self) -> None:
        narrowed = reach.narrowed(self.policy, Direction.EGRESS, dict(self.subject.labels))
        # By address nothing is open to a host that is allowed by its name.
        by_address = tuple(replace(rule, peers=rule.others) if rule.hosts else rule for rule in narrowed.rules)
        self.egress = replace(narrowed, rules=by_address)
        self._hosts = hosts.named(narrowed, self.mesh.world.installation) if self.policy.closed else ()
        peers = [peer for rule in self.egress.rules for peer in rule.peers]
        self._by_pod = any(isinstance(peer, AddressPeers) and peer.covers_pods for peer in peers)
        rules_ = self.egress.rules
        in_audit = any(rule.mode is Mode.AUDIT for rule in rules_) or bool(self.policy.egress_listed_audit)
        self._audited = in_audit or not self.policy.closed
        told = PortRules(rules_, self.policy.closed, strict=False).digest()
        self._digest = messages.digest(told, repr([rule.ports for rule in rules_]))[:8]

    def listener(self) -> Message:
        """The listener; clusters, endpoints and routes are there then."""
        self.made.refused(names.OUTBOUND, self.bounds)
        if self.policy.enrolment is Enrolment.NONE:
            tree = matching.always(matching.to_chain(self._passthrough("")))
        else:
            answers = reach.of(self.mesh)
            self._addresses()
            self._pods(answers)
            self._services(answers)
            self._api_server()
            self._by_name()
            tree = self._tree()
        looked_at = hosts.looked_at(self._hosts, self.policy)
        made = listener_pb2.Listener(
            name=names.OUTBOUND,
            stat_prefix=names.OUTBOUND,
            address=listening(self.subject, proxy.OUTBOUND_PORT),
            traffic_direction=base_pb2.OUTBOUND,
            listener_filters=[original_destination(), *([tls_inspector(looked_at)] if looked_at else [])],
            filter_chains=[chain for _, chain in sorted(self.made.chains.items())],
            filter_chain_matcher=tree,
            per_connection_buffer_limit_bytes=messages.number(clusters.BUFFER),
        )
        if looked_at:
            made.listener_filters_timeout.CopyFrom(messages.seconds(FIRST_BYTES))
            made.continue_on_listener_filters_timeout = True
        return made

    def listeners(self) -> list[Message]:
        """The listener, and the one behind it where rules name hosts."""
        domain = self.mesh.world.installation.trust_domain
        return [self.listener(), *([hosts.tunnel(self.bounds, self.subject, domain)] if self._hosts else [])]

    # --- what is open -----------------------------------------------------------------------------------------------

    def _leave(self, other: End, ports: Iterable[tuple[str, int]] = ()) -> Spans:
        """The ports of the other end that the own policies let this identity call."""
        if not self.policy.closed:
            return EVERY_PORT
        return reach.open_ports(self.egress, Direction.EGRESS, self.source, other, self.mesh, names=ports)

    def _denied_in_audit(self, other: End, ports: Iterable[tuple[str, int]] = ()) -> Spans:
        """The ports that would be closed were all policies enforced."""
        if not self._audited:
            return Spans()
        would = reach.open_ports(self.egress, Direction.EGRESS, self.source, other, self.mesh, names=ports, audit=True)
        return EVERY_PORT - would

    def _node(self, ports: Spans, denied_in_audit: Spans, chain: str, end: Named) -> Node:
        """Ports and the chain that takes them, those apart of which Audit says something else, by the rule."""
        both = ports & denied_in_audit
        if both.empty:
            return ((ports, chain),)
        apart = [(each, self._told_in_audit(chain, rule)) for rule, each in self._by_rule(both, *end)]
        return ((ports - both, chain), *apart) if both != ports else tuple(apart)

    def _by_rule(self, denied: Spans, other: End, named: Iterable[tuple[str, int]] = ()) -> Iterator[tuple[str, Spans]]:
        """Ports that Audit closes, by the rule that does; by "" where no rule opens them."""
        for ref, ports in reach.denying(self.egress, other, self.mesh, named):
            if not (ports & denied).empty:
                yield names.policy_id(ref), ports & denied
                denied -= ports
        if not denied.empty:
            yield "", denied

    def _open(self, target: Target, pod: Workload) -> Spans:
        """The ports of a target's pod that this identity may call, by both ends."""
        if self._by_pod:
            return self._opens(target, pod.ips)
        if target not in self._opened:
            self._opened[target] = self._opens(target, ())
        return self._opened[target]

    def _opens(self, target: Target, ips: tuple[str, ...]) -> Spans:
        let_in = reach.of(self.mesh).let_in(self.source, target)
        return let_in if let_in.empty else let_in & self._leave(target.workload(ips), target.ports)

    def _closed_in_audit(self, target: Target, pod: Workload) -> Spans:
        """The ports of a target's pod that would be closed were all policies enforced."""
        if self._by_pod:
            return self._denied_in_audit(target.workload(pod.ips), target.ports)
        if target not in self._denied:
            self._denied[target] = self._denied_in_audit(target.workload(), target.ports)
        return self._denied[target]

    def _addresses(self) -> None:
        """Addresses outside that egress rules name."""
        peers = [p for r in self.egress.rules for p in r.peers if isinstance(p, AddressPeers)]
        if peers:
            # A Service is no address outside: what it leads to is told below, and nothing is open by where it stands.
            services = (each for found in self.mesh.services.values() for each in found)
            self._places |= {networks.single(ip): () for each in services for ip in each.cluster_ips}
        for network, one in networks.told_apart(peer.addresses for peer in peers):
            end = Address(one)
            chain = self._passthrough(self._digest)
            self._places[network] = self._node(self._leave(end), self._denied_in_audit(end), chain, (end, ()))

    def _pods(self, answers: Reach) -> None:
        """Pods by their own addresses."""
        for target in answers.candidates(self.source):
            pods = answers.targets[target]
            for alike in ((pod,) for pod in pods) if self._by_pod else (pods,):
                self._add_pods(target, alike)

    def _add_pods(self, target: Target, pods: Sequence[Workload]) -> None:
        """Pods of a target for which the same ports are open."""
        ports = self._open(target, pods[0])
        # Closed ones stand in the tree only where a wider network might open them.
        if ports.empty and not self._by_pod:
            return
        chain = self._to_pods(target) if target.mesh and not ports.empty else self._passthrough(self._digest)
        other = target.workload(pods[0].ips if self._by_pod else ())
        node = self._node(ports, self._closed_in_audit(target, pods[0]), chain, (other, target.ports))
        self._places.update((networks.single(ip), node) for pod in pods for ip in pod.ips)

    def _services(self, answers: Reach) -> None:
        """Services by their own addresses, as clusters of their pods."""
        found = behind(self.mesh)
        chosen = dict.fromkeys(s for t in answers.candidates(self.source) for s in found.by_target.get(t, ()))
        for service in sorted({**chosen, **dict.fromkeys(found.on_nodes)}):
            if service.cluster_ips:
                pairs = [pair for port in service.ports for pair in self._service_port(service, port)]
                if pairs:
                    for ip in service.cluster_ips:
                        self._places[networks.single(ip)] = tuple(pairs)

    def _service_port(self, service: ServiceValue, port: ServicePort) -> list[tuple[Spans, str]]:
        if port.protocol is not Protocol.TCP:
            return []
        groups = behind(self.mesh).groups(service, port, by_pod=self._by_pod)
        reached = [group for group in groups if self._reaches(group)]
        if not reached:
            return []
        at = Spans(((PORT, port.port, port.port),))
        if self.mesh.effective(service.namespace).enrolment is Enrolment.NONE:
            # Whoever of them is chosen is chosen outside, so all must be open.
            chain = self._passthrough(self._digest) if len(reached) == len(groups) else ""
        else:
            chain = self._to_service(service, port, reached)
        closed = next(filter(self._is_closed_in_audit, reached), None) if chain else None
        if closed is not None:
            chain = self._told_in_audit(chain, self._rule_about(closed))
        return [(at, chain)] if chain else []

    def _rule_about(self, group: Group) -> str:
        """The rule by which Audit closes the port of pods."""
        found = self._by_rule(Spans(((PORT, group.port, group.port),)), *_end(group.first))
        return next(rule for rule, _ in found)

    def _reaches(self, group: Group) -> bool:
        pod = group.first
        if pod.target is not None:
            return self._open(pod.target, pod.pod).holds(PORT, group.port)
        return bool(pod.address) and self._leave(Address(pod.address)).holds(PORT, group.port)

    def _is_closed_in_audit(self, group: Group) -> bool:
        pod = group.first
        if pod.target is not None:
            return self._closed_in_audit(pod.target, pod.pod).holds(PORT, group.port)
        return self._denied_in_audit(Address(pod.address)).holds(PORT, group.port)

    def _api_server(self) -> None:
        """The Service of the API server, where its endpoints are open."""
        service = behind(self.mesh).api_server
        ends = self.mesh.world.installation.api_server
        if service is None or not ends:
            return
        if all(self._leave(Address(host)).holds(PORT, port) for host, port in ends):
            ports = Spans.of((PORT, p.port, p.port) for p in service.ports if p.protocol is Protocol.TCP)
            for ip in service.cluster_ips:
                self._places[networks.single(ip)] = ((ports, self._passthrough(self._digest)),)

    def _by_name(self) -> None:
        """The ways to hosts that rules name, by port."""
        if not self._hosts:
            return
        for one in self._hosts:
            # Of requests each is judged by the routes; TLS that is open ends when what is open by name changes.
            tls, plain = f"out|{names.TO_NAMES}|{one.port}|{one.digest}", hosts.route_name(one.port)
            self.made.chain(tls, hosts.of_tls(one, self.bounds))
            self.made.chain(plain, hosts.of_http(one, self.bounds))
            by_kind = matching.by_tls(matching.to_chain(tls), matching.to_chain(plain))
            self._named[one.port] = matching.to_matcher(by_kind)
        made = hosts.own_clusters(self._hosts, self.bounds, v4=self.subject.v4, v6=self.subject.v6)
        self.clusters |= {each.name: messages.resource(each.name, each) for each in made}
        self.made.routes |= {each.name: messages.resource(each.name, each) for each in hosts.routes(self._hosts)}

    # --- chains and clusters ----------------------------------------------------------------------------------------

    def _passthrough(self, suffix: str) -> str:
        """On as it is."""
        name = f"out|{names.PASSTHROUGH}|{suffix}".rstrip("|")
        if name not in self.made.chains:
            log = logs.of_connections(names.OUTBOUND, {"answer": "allowed", "sni": logs.SNI})
            self.made.chain(name, filters.tcp("out.plain", names.PASSTHROUGH, self.bounds, log))
        return name

    def _told_in_audit(self, chain: str, rule: str = "") -> str:
        """The same chain for what would be denied, so that the log and the figures say so, the log by which rule."""
        name = f"{chain}|{names.AUDIT_DENIED}" + (f"|{rule}" if rule else "")
        if name not in self.made.chains:
            said = {"answer": "allowed", "audit": "denied", **({"auditRule": rule} if rule else {})}
            said |= {"sni": logs.SNI} if chain.startswith(f"out|{names.PASSTHROUGH}") else {}
            self.made.chain(name, filters.told(self.made.chains[chain].filters[-1], names.OUTBOUND, said))
        return name

    def _to_pods(self, target: Target) -> str:
        cluster = f"pod|{target.namespace}/{target.account}"
        name = f"out|{cluster}|{self._digest}"
        if name not in self.made.chains:
            sans = principals.exact([(target.namespace, target.account)], self.mesh.world.installation.trust_domain)
            self.clusters[cluster] = messages.resource(cluster, clusters.to_pods(cluster, sans))
            log = logs.of_connections(names.OUTBOUND, {"answer": "allowed"})
            self.made.chain(name, filters.tcp("out.mesh", cluster, self.bounds, log))
        return name

    def _to_service(self, service: ServiceValue, port: ServicePort, reached: Sequence[Group]) -> str:
        name = f"out|{service.namespace}/{service.name}|{port.port}"
        targets = {group.first.target for group in reached if group.mesh}
        accounts = {(target.namespace, target.account) for target in targets if target is not None}
        told = shared.Service(
            name,
            tuple(sorted(accounts)),
            self.mesh.world.installation.trust_domain,
            plain=not all(group.mesh for group in reached),
            http=speech.is_http(port),
            bounds=self.bounds if speech.is_http(port) else self.bounds.untraced,
        )
        endpoints = reached[0].endpoints
        if len(reached) > 1:
            endpoints = tuple(sorted({each for group in reached for each in group.endpoints}))
        self.clusters[name] = shared.cluster(told.untraced)
        self.endpoints[name] = shared.endpoints((name, endpoints))
        self.made.chains[name] = shared.chain(told)
        if told.http:
            answers = reach.of(self.mesh)
            tunnels = any(g.first.target and answers.tunnels(g.first.target).holds(PORT, g.port) for g in reached)
            self.made.routes[name] = shared.route((name, tunnels))
        return name

    # --- the tree ---------------------------------------------------------------------------------------------------

    def _tree(self) -> Message:
        by_node: dict[Node, list[str]] = defaultdict(list)
        for network, node in self._places.items():
            by_node[node].append(network)
        # Single addresses that lead to the same are one network where they are neighbours; not among wider ones, where
        # the smallest network decides.
        join = networks.joined if all(networks.is_single(network) for network in self._places) else _sorted
        places = sorted((join(tuple(found)), node) for node, found in by_node.items())
        otherwise = matching.nothing()
        if not self.policy.closed:
            otherwise = matching.to_chain(self._told_in_audit(self._passthrough(self._digest)))
        elsewhere = self._or_by_name((), otherwise)
        reached = [(found, self._or_by_name(node, self._on(node, otherwise))) for found, node in places]
        return matching.by_destination(reached, elsewhere)

    def _or_by_name(self, node: Node, otherwise: Message) -> Message:
        """The ways to hosts by name, on ports that are not open at an address: what the address is does not count."""
        left = {port: to for port, to in self._named.items() if not any(ports.holds(PORT, port) for ports, _ in node)}
        return matching.to_matcher(matching.by_port(left, otherwise)) if left else otherwise

    def _on(self, node: Node, otherwise: Message) -> Message:
        """What an address leads to: by port where only some are open."""
        named = Spans.of(span for ports, _ in node for span in ports.spans)
        groups = [(ports, matching.to_chain(chain)) for ports, chain in node]
        groups = [(ports, to) for ports, to in (*groups, (EVERY_PORT - named, otherwise)) if not ports.empty]
        *others, (_, most) = sorted(groups, key=lambda group: _size(group[0]))
        if not others:
            return most
        if sum(_size(ports) for ports, _ in others) <= MAX_PORTS:
            tree = {port: to for ports, to in others for port in _each(ports)}
            return matching.to_matcher(matching.by_port(tree, most))
        if not self.policy.closed:
            # Nothing is refused here, so nothing asks: whether these ports are open is left to the target.
            return groups[0][1]
        return matching.to_chain(self._asking(named, node[0][1]))

    def _asking(self, ports: Spans, chain: str) -> str:
        """The chain, asking for the port; nothing is connected before the program has sent a byte."""
        name = f"{chain}|{messages.digest(repr(ports))[:8]}"
        if name not in self.made.chains:
            waiting = filters.waiting(self.made.chains[chain].filters[-1])
            self.made.chain(name, rules.only_to(ports), waiting)
        return name


def _sorted(found: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(found))


def _end(member: Member) -> Named:
    if member.target is None:
        return Address(member.address), ()
    return member.target.workload(member.pod.ips), member.target.ports


def _size(ports: Spans) -> int:
    return sum(last - first + 1 for _, first, last in ports.spans)


def _each(ports: Spans) -> Iterable[int]:
    return (port for _, first, last in ports.spans for port in range(first, last + 1))
