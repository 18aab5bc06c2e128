"""What a proxy lets in: a chain for each port of the pod that is known, and one for all other ports.

Mesh TLS is told by its ALPN and goes to chains that demand a certificate. Anything else gets a chain only where the
transport is not Strict or an Allow opens the port to callers without identity, and there only those rules hold.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.listener.original_dst.v3 import original_dst_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.type.v3 import range_pb2

from ringfence.model import proxy
from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.proxy import Resource
from ringfence.model.resources import MTLS, Protocol
from ringfence.model.spans import ALL, Spans
from ringfence.model.tokens import Issuer
from ringfence.model.world import Enrolment
from ringfence.policy import issuers, reach, traffic
from ringfence.policy.callers import Callers
from ringfence.policy.traffic import NOTHING, Held
from ringfence.policy.transport import transport_of
from ringfence.translate.envoy import (
    clusters,
    filters,
    logs,
    matching,
    messages,
    names,
    principals,
    rules,
    spoofed,
    tls,
    tokens,
)
from ringfence.translate.envoy import traffic as counted
from ringfence.translate.envoy.filters import Bounds
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.rules import PortRules, Told, Who
from ringfence.translate.envoy.subject import Subject
from ringfence.translate.envoy.traffic import HeaderBounds, Telling

#: Ports that only rules name: so many ranges of them get chains of their own, with so many ports; the others share one.
MAX_RANGES: Final = 64
MAX_SPELT_OUT: Final = 1024
#: Seconds that a caller may take for its first bytes before it is taken for one that waits for the program's.
FIRST_BYTES: Final = 1.0
#: Seconds for a TLS handshake.
_HANDSHAKE: Final = 10.0

_LOOPBACK_ALL: Final = ("0.0.0.0", "::")  # noqa: S104 (the redirect leads here from every address of the pod)


@dataclass(slots=True)
class Made:
    """Chains, routes and the tree that leads to the chains."""

    chains: dict[str, Message] = field(default_factory=dict)
    routes: dict[str, Resource] = field(default_factory=dict)

    def refused(self, direction: str, bounds: Bounds) -> None:
        """Add the chain that closes what no rule lets through."""
        log = logs.of_connections(direction, {"answer": "denied"}, plain=True)
        self.chain(names.REFUSED, filters.tcp(f"{direction}.refused", names.REFUSED, bounds, log))

    def chain(self, name: str, *made: Message, socket: Message | None = None) -> Message:
        """Add a chain; returns what leads to it."""
        found = listener_components_pb2.FilterChain(name=name, filters=made)
        if socket is not None:
            found.transport_socket.CopyFrom(socket)
            found.transport_socket_connect_timeout.CopyFrom(messages.seconds(_HANDSHAKE))
        self.chains[name] = found
        return matching.to_chain(name)


@dataclass(frozen=True, slots=True)
class Inbound:
    """The inbound side of a class of proxies."""

    subject: Subject
    policy: EffectivePolicy
    callers: Callers
    trust_domain: str
    bounds: Bounds

    @property
    def issuers(self) -> dict[str, Issuer]:
        """Those whose tokens the proxies check, by key."""
        return issuers.asked_of_pods(self.policy, dict(self.subject.labels))

    def listener(self) -> tuple[Message, dict[str, Resource]]:
        """The listener, and its routes by name."""
        made = Made()
        made.refused(names.INBOUND, self.bounds)
        if self.policy.enrolment is Enrolment.NONE:
            tree = matching.always(self._carried(made, "all", Told(allowed=True), None, ""))
        else:
            tree = self._ports(made)
        return self._listener(made, tree), made.routes

    def _ports(self, made: Made) -> Message:
        labels = dict(self.subject.labels)
        known = reach.narrowed(self.policy, Direction.INGRESS, labels).rules
        strict = transport_of(self.policy, labels) is MTLS.STRICT
        tree = {}
        for port in self.subject.ports:
            governing = tuple(r for r in known if r.ports.contains(Protocol.TCP, port.number, port.names))
            rules_ = PortRules(governing, self.policy.closed, strict)
            held = traffic.on_port(self.policy, labels, port.number, port.names)
            held = held if port.http else held.of_bytes()
            tree[port.number] = self._port(made, str(port.number), rules_, held, http=port.http)
        for number in sorted(proxy.RESERVED_PORTS):
            tree[number] = matching.nothing()
        spans = self._elsewhere(known, tree)
        for first, last in _spelt_out(spans):
            governing = tuple(r for r, span in zip(known, spans, strict=True) if span.holds(reach.PORT, first))
            name = str(first) if first == last else f"{first}-{last}"
            rules_ = PortRules(governing, self.policy.closed, strict)
            chains = self._port(made, name, rules_, self._on_range(first, last), http=False)
            tree.update(dict.fromkeys(range(first, last + 1), chains))
        return matching.by_port(tree, self._others(made, known, tree, strict=strict))

    def _on_range(self, first: int, last: int) -> Held:
        """What holds on ports that only rules name; on several together what is asked for all ports."""
        held = traffic.on_port(self.policy, dict(self.subject.labels), first)
        return held.of_bytes() if first == last else NOTHING

    def _elsewhere(self, known: Sequence[EffectiveRule], ports: Iterable[int]) -> list[Spans]:
        """The ports that each rule names beside those that have chains already."""
        named = tuple((name, port.number) for port in self.subject.ports for name in port.names)
        own = Spans.of((reach.PORT, number, number) for number in ports)
        return [reach.port_spans(rule.ports, named) - own for rule in known]

    def _port(self, made: Made, name: str, governing: PortRules, held: Held, *, http: bool) -> Message:
        """What leads to the chains of one port, or of some that are governed alike."""
        # Beside HTTP in the clear or in mutual TLS, a program's own TLS is bytes.
        bytes_ = governing.opaque()
        mesh = self._mesh_http(made, name, governing, held) if http else self._mesh(made, name, bytes_, held)
        carried = self._plain(made, name, bytes_, held)
        plain = self._plain_http(made, name, governing, held) if http else carried
        return matching.to_matcher(matching.by_transport(mesh, carried, plain))

    def _others(self, made: Made, known: Sequence[EffectiveRule], ports: Iterable[int], *, strict: bool) -> Message:
        """The same for all other ports together."""
        spans = self._elsewhere(known, ports)
        rest = Spans.of((reach.PORT, number, number) for number in ports)
        found = [(rule, span) for rule, span in zip(known, spans, strict=True) if not span.empty]
        alike = all(span == reach.EVERY_PORT - rest for _, span in found)
        governing = PortRules(
            tuple(rule for rule, _ in found),
            self.policy.closed,
            strict,
            None if alike else tuple(span for _, span in found),
        ).opaque()
        mesh = self._mesh(made, "other", governing, NOTHING)
        plain = self._plain(made, "other", governing, NOTHING) if alike else self._plain_by_port(made, governing)
        return matching.to_matcher(matching.by_transport(mesh, plain, plain))

    # --- callers in mutual TLS --------------------------------------------------------------------------------------

    def _who(self, *, mesh: bool, strict: bool = True) -> Who:
        return Who(self.callers, self.trust_domain, mesh=mesh, strict=strict)

    def _mesh(self, made: Made, prefix: str, governing: PortRules, held: Held) -> Message | None:
        expected = rules.expected(governing, self.callers)
        sans = [principals.any_of(self.trust_domain)]
        if expected.identities is not None:
            sans = principals.sans(expected.identities, self.trust_domain)
        if not sans:
            return None
        # Nothing of the program's is touched before the caller has shown who it is; where that does not answer all,
        # not before it has sent a byte, which is when Envoy asks its rules.
        connect = "ON_DOWNSTREAM_TLS_HANDSHAKE" if expected.exact else "ON_DOWNSTREAM_DATA"
        carry = filters.tcp(
            "in.mesh", names.TO_PROGRAM, self.bounds, logs.of_connections(names.INBOUND), connect=connect
        )
        few = counted.connections(held, "mesh")
        authorize = rules.network_filters(governing, self._who(mesh=True))
        return made.chain(f"in|{prefix}|mesh", *few, *authorize, carry, socket=tls.downstream(sans))

    def _mesh_http(self, made: Made, prefix: str, governing: PortRules, held: Held) -> Message:
        route = f"in|{prefix}|mesh"
        speak = self._http(made, route, governing, held, mesh=True)
        few = counted.connections(held, "mesh")
        return made.chain(route, *few, speak, socket=tls.downstream([principals.any_of(self.trust_domain)]))

    def _http(self, made: Made, route: str, governing: PortRules, held: Held, *, mesh: bool) -> Message:
        """The filter that speaks HTTP; what it asks of requests comes with its routes."""
        known = self.issuers
        policy = rules.of_routes(governing, self._who(mesh=mesh, strict=mesh or governing.strict))
        asked = tokens.of_routes({each.issuer for each in governing.tokens(audit=True)} | held.issuers, known)
        limits = counted.of_routes(held, Telling(self.trust_domain, mesh, known))
        removed = tokens.removed(governing.tokens(audit=False), known)
        hidden = spoofed.of_routes(governing.looked_at, held.to_program.names)
        made.routes[route] = _route(
            route, {**policy, **asked, **limits, **hidden}, held, removed, tunnels=governing.tunnels
        )
        return filters.http(
            "in.mesh" if mesh else "in.plain",
            route,
            replace(self.bounds, headers=HeaderBounds.of(held)),
            logs.of_requests(names.INBOUND, tokens.logged(known)),
            inbound=True,
            mesh=mesh,
            ahead=tokens.ahead(known),
        )

    # --- callers without --------------------------------------------------------------------------------------------

    def _told(self, governing: PortRules) -> list[tuple[Spans, Told]]:
        """All addresses by what holds for callers without mutual TLS there."""
        if governing.enforced:
            return rules.partition(governing, self.callers, audit=False)
        return [(ALL, Told(allowed=True))]

    def _plain(self, made: Made, prefix: str, governing: PortRules, held: Held) -> Message | None:
        """A chain for each answer, told by where the caller comes from before a byte is read."""
        told = self._told(governing)
        audit: list[tuple[Spans, Told | None]] = [(ALL, None)]
        if governing.audited:
            audit = [*rules.partition(governing, self.callers, audit=True)]
        suffix = governing.digest()
        places: dict[tuple[Told, Told | None], Spans] = {}
        for spans, answer, would in rules.crossed(told, audit):
            if answer != rules.NOBODY_ALLOWS:
                places[answer, would] = places.get((answer, would), Spans()) | spans
        found = [
            (spans, self._carried(made, prefix, answer, would, suffix, held))
            for (answer, would), spans in places.items()
        ]
        if not found:
            return None
        if len(found) == 1 and found[0][0] == ALL:
            return found[0][1]
        return matching.to_matcher(matching.by_source(found))

    def _carried(
        self, made: Made, prefix: str, answer: Told, would: Told | None, suffix: str, held: Held = NOTHING
    ) -> Message:
        """The chain for one answer: it leads to the program, or nowhere."""
        said = {"answer": "allowed" if answer.allowed else "denied", "rule": answer.rule}
        differs = would is not None and would.allowed != answer.allowed
        if differs and would is not None:
            said |= {"audit": "allowed" if would.allowed else "denied", "auditRule": would.rule}
        name = "|".join(("in", prefix, "plain", *said.values(), suffix))
        prefix_ = f"in.plain.{said['answer']}" + (f".audit_{said['audit']}" if differs else "")
        # Figures name the rule that keeps somebody out, or would.
        keeps_out = said.get("auditRule") if differs else "" if answer.allowed else answer.rule
        prefix_ += f".policy.{keeps_out}" if keeps_out else ""
        log = logs.of_connections(names.INBOUND, said, plain=True)
        to = names.TO_PROGRAM if answer.allowed else names.REFUSED
        few = counted.connections(held, "plain") if answer.allowed else []
        return made.chain(name, *few, filters.plain(filters.tcp(prefix_, to, self.bounds, log)))

    def _plain_http(self, made: Made, prefix: str, governing: PortRules, held: Held) -> Message | None:
        if not any(told.allowed for _, told in self._told(governing.for_some())):
            return None
        route = f"in|{prefix}|plain"
        speak = self._http(made, route, governing, held, mesh=False)
        return made.chain(route, *counted.connections(held, "plain"), filters.plain(speak))

    def _plain_by_port(self, made: Made, governing: PortRules) -> Message | None:
        """One chain where the rules differ between ports: asked at the first byte, before the program is touched."""
        if governing.enforced and not any(
            told.allowed for _, told in rules.partition(governing, self.callers, audit=False)
        ):
            return None
        authorize = rules.network_filters(governing, self._who(mesh=False, strict=governing.strict))
        log = logs.of_connections(names.INBOUND, plain=True)
        connect = "ON_DOWNSTREAM_DATA" if governing.enforced else "IMMEDIATE"
        carry = filters.tcp("in.plain", names.TO_PROGRAM, self.bounds, log, connect=connect)
        return made.chain("in|other|plain", *authorize, filters.plain(carry))

    # --- the listener -----------------------------------------------------------------------------------------------

    def _listener(self, made: Made, tree: Message) -> Message:
        return listener_pb2.Listener(
            name=names.INBOUND,
            stat_prefix=names.INBOUND,
            address=listening(self.subject, proxy.INBOUND_PORT),
            traffic_direction=base_pb2.INBOUND,
            listener_filters=[original_destination(), tls_inspector()],
            listener_filters_timeout=messages.seconds(FIRST_BYTES),
            continue_on_listener_filters_timeout=True,
            filter_chains=[chain for _, chain in sorted(made.chains.items())],
            filter_chain_matcher=tree,
            per_connection_buffer_limit_bytes=messages.number(clusters.BUFFER),
        )


def listening(subject: Subject, port: int) -> Message:
    """The address of a listener: every one that the pod has."""
    v4, v6 = _LOOPBACK_ALL
    return messages.address(v6 if subject.v6 else v4, port, both=subject.v6 and subject.v4)


def original_destination() -> Message:
    """Finds out where a redirected connection was going."""
    return messages.extension(
        listener_components_pb2.ListenerFilter,
        "envoy.filters.listener.original_dst",
        original_dst_pb2.OriginalDst(),
    )


def tls_inspector(ports: Sequence[int] = ()) -> Message:
    """Finds out whether a connection is TLS, and to whom; with ``ports`` only of those that go there."""
    made = messages.extension(
        listener_components_pb2.ListenerFilter,
        "envoy.filters.listener.tls_inspector",
        tls_inspector_pb2.TlsInspector(),
    )
    if ports:
        kinds = listener_components_pb2.ListenerFilterChainMatchPredicate
        each = [kinds(destination_port_range=range_pb2.Int32Range(start=port, end=port + 1)) for port in ports]
        there = each[0] if len(each) == 1 else kinds(or_match=kinds.MatchSet(rules=each))
        made.filter_disabled.CopyFrom(kinds(not_match=there))
    return made


def _spelt_out(spans: Sequence[Spans]) -> list[tuple[int, int]]:
    """Ranges of ports about which all rules say the same, the smallest ones, as far as they can be spelt out."""
    union = Spans.of(span for each in spans for span in each.spans)
    edges = sorted({edge for each in spans for _, first, last in each.spans for edge in (first, last + 1)})
    ranges = sorted((last - first, first, last - 1) for first, last in pairwise(edges))
    found: list[tuple[int, int]] = []
    left = MAX_SPELT_OUT
    for size, first, last in ranges:
        if size > left or len(found) == MAX_RANGES:
            break
        if union.holds(reach.PORT, first):
            found.append((first, last))
            left -= size
    return sorted(found)


def _route(name: str, policy: dict[str, Message], held: Held, removed: Iterable[str], *, tunnels: bool) -> Resource:
    """Everything to the program; the policy travels with the routes, so it is in force without a new listener.

    The headers ``removed`` are gone when all filters have seen them. With ``tunnels`` CONNECT goes to the program too.
    """
    on = route_components_pb2.RouteAction(cluster=names.TO_PROGRAM_HTTP, timeout=messages.seconds(0))
    host = route_components_pb2.VirtualHost(
        name="program", domains=["*"], routes=counted.routes(held, on, tunnels=tunnels)
    )
    found = route_pb2.RouteConfiguration(name=name, virtual_hosts=[host], validate_clusters=messages.false())
    found.request_headers_to_remove.extend(removed)
    counted.change_headers(held, found)
    for key, value in policy.items():
        found.typed_per_filter_config[key].CopyFrom(value)
    return messages.resource(name, found)
