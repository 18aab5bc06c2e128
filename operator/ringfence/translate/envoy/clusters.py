"""Where connections go: to the own program, to Services and pods in the mesh, on to where they were going, nowhere."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from envoy.config.core.v3 import address_pb2, health_check_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from ringfence.model import proxy
from ringfence.translate.envoy import filters, messages, names, tls
from ringfence.translate.envoy.messages import Message

_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_Cluster = cluster_pb2.Cluster
_SECONDS: Final = 5
#: Connections, requests and what waits for a connection at once to one cluster.
_MOST: Final = 16_384
#: Seconds that an unused HTTP connection is kept. Shorter than the other end keeps it, or a request meets its end:
#: proxies keep one for an hour, many programs for two to five seconds.
_IDLE_PROXY, _IDLE_PROGRAM = 300, 1
#: Marks endpoints that have no proxy; anything else is only spoken to in mutual TLS.
_PLAIN: Final = "plaintext"
_SOCKET_MATCH: Final = "envoy.transport_socket_match"


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """A pod behind a Service: its address, the port of the pod, and whether it speaks mutual TLS."""

    address: str
    port: int
    mesh: bool


def to_program(*, http: bool, v6: bool, age: float) -> Message:
    """To the pod's own program at the address that was called, from a source that the redirect knows."""
    cluster = _original(names.TO_PROGRAM_HTTP if http else names.TO_PROGRAM)
    cluster.upstream_bind_config.CopyFrom(own_source(v6=v6))
    if http:
        _speaks_http(cluster, age, _IDLE_PROGRAM)
    return cluster


def own_source(*, v6: bool) -> Message:
    """The source of connections to the pod's own program."""
    found = address_pb2.BindConfig(source_address=_source(proxy.INBOUND_SOURCE_V4))
    if v6:
        found.extra_source_addresses.append(address_pb2.ExtraSourceAddress(address=_source(proxy.INBOUND_SOURCE_V6)))
    return found


def _source(host: str) -> Message:
    return address_pb2.SocketAddress(address=host, port_value=0)


def passthrough() -> Message:
    """On to where it was going, as it is."""
    return _original(names.PASSTHROUGH)


def refused() -> Message:
    """Nowhere: whoever comes here is cut off."""
    return _Cluster(name=names.REFUSED, type=_Cluster.STATIC, connect_timeout=messages.seconds(1))


def to_pods(name: str, sans: Iterable[Message]) -> Message:
    """To pods of one identity by their own addresses."""
    cluster = _original(name)
    cluster.transport_socket.CopyFrom(tls.upstream(sans))
    return cluster


def _original(name: str) -> Message:
    return _Cluster(
        name=name,
        type=_Cluster.ORIGINAL_DST,
        lb_policy=_Cluster.CLUSTER_PROVIDED,
        connect_timeout=messages.seconds(_SECONDS),
        per_connection_buffer_limit_bytes=messages.number(BUFFER),
        circuit_breakers=breakers(),
    )


#: Bytes that wait in memory for a slow reader, for each direction of a connection.
BUFFER: Final = 32 * 1024


def to_service(name: str, sans: list[Message], *, plain: bool, http: bool, age: float) -> Message:
    """To the pods behind a Service's port; ``plain`` says that some have no proxy, no ``sans`` that none has one."""
    cluster = _Cluster(
        name=name,
        type=_Cluster.EDS,
        eds_cluster_config=_Cluster.EdsClusterConfig(eds_config=messages.ads()),
        lb_policy=_Cluster.LEAST_REQUEST,
        connect_timeout=messages.seconds(_SECONDS),
        per_connection_buffer_limit_bytes=messages.number(BUFFER),
        circuit_breakers=breakers(),
        outlier_detection=_outliers(),
    )
    if sans:
        cluster.transport_socket.CopyFrom(tls.upstream(sans))
    if plain and sans:
        cluster.transport_socket_matches.append(
            _Cluster.TransportSocketMatch(
                name=_PLAIN, match=messages.struct({_PLAIN: True}), transport_socket=tls.plaintext()
            )
        )
    if http:
        _speaks_http(cluster, age, _IDLE_PROXY)
    return cluster


def judged(cluster: Message, age: float, judges: Iterable[Message]) -> Message:
    """The cluster, with filters of HTTP that judge the end that has been chosen before it is connected to."""
    _speaks_http(cluster, age, _IDLE_PROGRAM, judges)
    return cluster


def _speaks_http(cluster: Message, age: float, idle: float, judges: Iterable[Message] = ()) -> None:
    """The version of HTTP that came in goes out."""
    kinds = http_protocol_options_pb2.HttpProtocolOptions
    options = kinds(
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            max_connection_duration=messages.seconds(age), idle_timeout=messages.seconds(idle)
        ),
        use_downstream_protocol_config=kinds.UseDownstreamHttpConfig(
            http_protocol_options=filters.http1_options(),
            http2_protocol_options=filters.http2_options(),
        ),
        http_filters=judges,
    )
    cluster.typed_extension_protocol_options[_HTTP].CopyFrom(messages.packed(options))


def breakers() -> Message:
    """Bounds that no program meets."""
    most = messages.number(_MOST)
    bounds: dict[str, Any] = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), most)
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(max_retries=messages.number(32), **bounds)
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold])


def _outliers() -> Message:
    """A pod that cannot be reached is left out for a while; what its program answers is its own business."""
    never = messages.number(0)
    return outlier_detection_pb2.OutlierDetection(
        interval=messages.seconds(2),
        base_ejection_time=messages.seconds(5),
        max_ejection_time=messages.seconds(60),
        max_ejection_percent=messages.number(50),
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=messages.number(3),
        enforcing_consecutive_local_origin_failure=messages.number(100),
        enforcing_local_origin_success_rate=never,
        enforcing_consecutive_5xx=never,
        enforcing_consecutive_gateway_failure=never,
        enforcing_success_rate=never,
    )


def assignment(name: str, endpoints: Iterable[Endpoint]) -> Message:
    """The endpoints of a cluster, sorted."""
    found = [_endpoint(each) for each in sorted(endpoints)]
    places = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=found)] if found else []
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=places)


def _endpoint(each: Endpoint) -> Message:
    made = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=messages.address(each.address, each.port))
    )
    if not each.mesh:
        made.metadata.filter_metadata[_SOCKET_MATCH].CopyFrom(messages.struct({_PLAIN: True}))
    return made


def to_probed(name: str, port: int, *, tls_: bool, v6: bool) -> Message:
    """To a port of the program at the address that the kubelet asked."""
    cluster = _original(name)
    cluster.original_dst_lb_config.CopyFrom(_Cluster.OriginalDstLbConfig(upstream_port_override=messages.number(port)))
    cluster.upstream_bind_config.CopyFrom(own_source(v6=v6))
    if tls_:
        cluster.transport_socket.CopyFrom(tls.unverified())
    return cluster


def watched(name: str, port: int, check: Message, *, v4: bool, v6: bool) -> Message:
    """A port of the program that Envoy itself looks at every second; ``v4`` and ``v6`` are the pod's addresses.

    Programs of pods that have IPv6 alone may well listen there alone.
    """
    cluster = _Cluster(
        name=name,
        type=_Cluster.STATIC,
        connect_timeout=messages.seconds(1),
        load_assignment=assignment(name, [Endpoint("127.0.0.1" if v4 else "::1", port, mesh=True)]),
        health_checks=[check],
    )
    cluster.upstream_bind_config.CopyFrom(own_source(v6=v6 and not v4))
    return cluster


def health_check(**kind: Message) -> Message:
    """How a port is looked at: ``tcp_health_check`` or ``grpc_health_check``."""
    second = messages.seconds(1)
    return health_check_pb2.HealthCheck(
        timeout=second,
        interval=second,
        no_traffic_interval=second,
        no_traffic_healthy_interval=second,
        unhealthy_threshold=messages.number(1),
        healthy_threshold=messages.number(1),
        **kind,
    )


def over_http2(cluster: Message) -> Message:
    """The cluster, spoken to in HTTP/2."""
    kinds = http_protocol_options_pb2.HttpProtocolOptions
    options = kinds(
        explicit_http_config=kinds.ExplicitHttpConfig(http2_protocol_options=protocol_pb2.Http2ProtocolOptions())
    )
    cluster.typed_extension_protocol_options[_HTTP].CopyFrom(messages.packed(options))
    return cluster
