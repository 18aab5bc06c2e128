"""The status listener: readiness, metrics, and the probes that the kubelet would have sent to the program.

Exact paths and nothing else. HTTP probes go on to the program at the address that was asked, as far as they are what
the kubelet would send: whoever reaches this port passes by the policy of the program's own. Whether a TCP or gRPC port
answers Envoy finds out itself, since a connection to it would end at Envoy and always succeed.
"""

from dataclasses import dataclass, field
from typing import Final

from envoy.config.core.v3 import base_pb2, health_check_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.health_check.v3 import health_check_pb2 as health_filter_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2

from ringfence.model import proxy
from ringfence.model.probes import Probe, ProbeKind
from ringfence.translate.envoy import clusters, messages, names, spoofed
from ringfence.translate.envoy.inbound import listening, original_destination
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.subject import Subject

READY: Final = "/ready"
METRICS: Final = "/metrics"
_STATS: Final = "/stats/prometheus"
#: Seconds that a probe may take; the kubelet's own timeout mostly ends it before.
_PROBE_SECONDS: Final = 60


@dataclass(slots=True)
class _Parts:
    """What the probes need: routes, filters that answer by a port's health, clusters."""

    routes: list[Message] = field(default_factory=list)
    checks: list[Message] = field(default_factory=list)
    clusters: dict[str, Message] = field(default_factory=dict)


def listener(subject: Subject) -> tuple[Message, list[Message]]:
    """The listener, and the clusters that the probes go to."""
    parts = _Parts(routes=[_admin(READY, READY), _admin(METRICS, _STATS)])
    for probe in subject.probes:
        _add(parts, probe, v4=subject.v4, v6=subject.v6)
    manager = hcm_pb2.HttpConnectionManager(
        stat_prefix="status",
        route_config=_routes(parts.routes),
        http_filters=[*parts.checks, _no_body(), spoofed.http_filter(), _router()],
        generate_request_id=messages.false(),
        server_header_transformation=hcm_pb2.HttpConnectionManager.PASS_THROUGH,
        use_remote_address=messages.true(),
        # In HTTP/2 a body needs no header that would tell of it.
        codec_type=hcm_pb2.HttpConnectionManager.HTTP1,
    )
    filter_ = messages.extension(
        listener_components_pb2.Filter, "envoy.filters.network.http_connection_manager", manager
    )
    made = listener_pb2.Listener(
        name=names.STATUS,
        stat_prefix=names.STATUS,
        address=listening(subject, proxy.STATUS_PORT),
        traffic_direction=base_pb2.INBOUND,
        listener_filters=[original_destination()],
        filter_chains=[listener_components_pb2.FilterChain(name="status", filters=[filter_])],
    )
    return made, list(parts.clusters.values())


def _admin(path: str, asked: str) -> Message:
    action = route_components_pb2.RouteAction(
        cluster=proxy.ADMIN_CLUSTER, prefix_rewrite=asked, timeout=messages.seconds(5)
    )
    route = _route(path, action)
    # Nothing but GET: the admin interface takes commands by POST.
    route.match.headers.append(_is(":method", "GET"))
    return route


def _is(header: str, value: str) -> Message:
    return route_components_pb2.HeaderMatcher(name=header, string_match=string_pb2.StringMatcher(exact=value))


def _absent(header: str) -> Message:
    return route_components_pb2.HeaderMatcher(name=header, present_match=True, invert_match=True)


def _probed(asked: str, action: Message) -> Message:
    """What the kubelet asks, and no more: by GET, with the query that the probe has, without a body."""
    route = _route(asked.partition("?")[0], action)
    # A fragment is never sent.
    route.match.headers.extend((_is(":method", "GET"), _is(":path", asked.partition("#")[0])))
    route.match.headers.extend(map(_absent, ("content-length", "upgrade")))
    return route


def _route(path: str, action: Message) -> Message:
    return route_components_pb2.Route(match=route_components_pb2.RouteMatch(path=path), route=action)


def _routes(routes: list[Message]) -> Message:
    host = route_components_pb2.VirtualHost(name="status", domains=["*"], routes=routes)
    return route_pb2.RouteConfiguration(name="status", virtual_hosts=[host], validate_clusters=messages.false())


def _no_body() -> Message:
    """Refuses bodies in chunks, whose header routes do not see any more; one byte is the least that may be said."""
    config = buffer_pb2.Buffer(max_request_bytes=messages.number(1))
    return messages.extension(hcm_pb2.HttpFilter, "envoy.filters.http.buffer", config)


def _router() -> Message:
    return messages.extension(
        hcm_pb2.HttpFilter, "envoy.filters.http.router", router_pb2.Router(suppress_envoy_headers=True)
    )


def _add(parts: _Parts, probe: Probe, *, v4: bool, v6: bool) -> None:
    path = probe.path.partition("?")[0]
    name = f"probe|{probe.kind}|{probe.port}"
    match probe.kind:
        case ProbeKind.HTTP | ProbeKind.HTTPS:
            secure = probe.kind is ProbeKind.HTTPS
            parts.clusters[name] = clusters.to_probed(name, probe.port, tls_=secure, v6=v6)
            asked = probe.rest.partition("?")[0] or "/"
            seconds = messages.seconds(_PROBE_SECONDS)
            action = route_components_pb2.RouteAction(cluster=name, prefix_rewrite=asked, timeout=seconds)
            route = _probed(probe.path, action)
            if route not in parts.routes:
                parts.routes.append(route)
        case ProbeKind.TCP:
            check = clusters.health_check(tcp_health_check=health_check_pb2.HealthCheck.TcpHealthCheck())
            parts.clusters[name] = clusters.watched(name, probe.port, check, v4=v4, v6=v6)
            parts.checks.append(_answered(path, name))
        case ProbeKind.GRPC:
            name = f"{name}|{probe.rest}"
            asks = health_check_pb2.HealthCheck.GrpcHealthCheck(service_name=probe.rest)
            check = clusters.health_check(grpc_health_check=asks)
            cluster = clusters.watched(name, probe.port, check, v4=v4, v6=v6)
            parts.clusters[name] = clusters.over_http2(cluster)
            parts.checks.append(_answered(path, name))


def _answered(path: str, cluster: str) -> Message:
    """Answers a path by whether the port of a cluster is healthy: 200 or 503."""
    header = route_components_pb2.HeaderMatcher(name=":path", string_match=string_pb2.StringMatcher(exact=path))
    check = health_filter_pb2.HealthCheck(
        pass_through_mode=messages.false(),
        headers=[header],
        cluster_min_healthy_percentages={cluster: percent_pb2.Percent(value=100)},
    )
    return messages.extension(hcm_pb2.HttpFilter, "envoy.filters.http.health_check", check)
