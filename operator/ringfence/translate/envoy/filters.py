"""The network filters that carry traffic: as bytes, or as HTTP whose routes come apart from the listener."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from ringfence.model.proxy import UNDELIVERED
from ringfence.model.traffic import OWN_BOUNDS, Bound
from ringfence.translate.envoy import logs, messages, names, spoofed, traffic
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.tracing import Tracer
from ringfence.translate.envoy.traffic import HeaderBounds

_HCM: Final = "envoy.filters.network.http_connection_manager"
_TCP: Final = "envoy.filters.network.tcp_proxy"
_ROUTER: Final = "envoy.filters.http.router"
#: Windows of HTTP/2, in bytes: what a stream and a connection may hold in memory.
_STREAM_WINDOW: Final = 256 * 1024
_CONNECTION_WINDOW: Final = 1024 * 1024
#: Requests at once on one HTTP/2 connection.
_STREAMS: Final = 1024
#: KiB of a request's headers.
_HEADERS_KB: Final = OWN_BOUNDS[Bound.HEADERS_SIZE] >> 10
#: Per cent by which connections end earlier at random, so that not all come again together.
_JITTER: Final = 10.0
#: Seconds after which a connection or request without mutual TLS that goes on is written down, and again: whoever asks
#: whether there is still plaintext must hear of what is open now.
_PLAIN_AGAIN: Final = 60.0
#: Bytes that are read before the other side is connected.
_EARLY: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """``age``: seconds that a connection may last, a quarter of the life of the certificate that it rests on.
    ``tracer``: how requests are traced, None for not at all. ``headers``: of requests that come in."""

    age: float
    tracer: Tracer | None = None
    headers: HeaderBounds = traffic.UNBOUNDED

    @property
    def untraced(self) -> "Bounds":
        """The same for what has no spans, which all identities have in common."""
        return self if self.tracer is None else replace(self, tracer=None)


@dataclass(frozen=True, slots=True)
class Ahead:
    """``filters`` of HTTP that look at tokens before policies are asked; ``not_good`` tells, as a filter of the log,
    the requests whose token is not."""

    filters: tuple[Message, ...]
    not_good: Message


def tcp(prefix: str, cluster: str, bounds: Bounds, log: Message, *, connect: str = "IMMEDIATE") -> Message:
    """The filter that carries bytes to a cluster; ``connect`` is when (an UpstreamConnectMode)."""
    proxy = tcp_proxy_pb2.TcpProxy(
        stat_prefix=prefix,
        cluster=cluster,
        access_log=[log],
        # Programs that keep a connection open keep it as long as it may last.
        idle_timeout=messages.seconds(0),
        max_downstream_connection_duration=messages.seconds(bounds.age),
        upstream_connect_mode=tcp_proxy_pb2.UpstreamConnectMode.Value(connect),
    )
    proxy.max_downstream_connection_duration_jitter_percentage.value = _JITTER
    if connect != "IMMEDIATE":
        proxy.max_early_data_bytes.CopyFrom(messages.number(_EARLY))
    return messages.extension(listener_components_pb2.Filter, _TCP, proxy)


def told(carry: Message, direction: str, said: Mapping[str, str]) -> Message:
    """The filter, with more in its log and figures of its own."""
    suffix = ".audit_denied"
    if carry.typed_config.Is(tcp_proxy_pb2.TcpProxy.DESCRIPTOR):
        proxy = tcp_proxy_pb2.TcpProxy.FromString(carry.typed_config.value)
        proxy.stat_prefix += suffix
        proxy.access_log[0].CopyFrom(logs.of_connections(direction, said))
        return messages.extension(listener_components_pb2.Filter, _TCP, proxy)
    manager = hcm_pb2.HttpConnectionManager.FromString(carry.typed_config.value)
    manager.stat_prefix += suffix
    manager.access_log[0].CopyFrom(logs.of_requests(direction, said))
    return messages.extension(listener_components_pb2.Filter, _HCM, manager)


def plain(carry: Message) -> Message:
    """The filter, for callers without mutual TLS: what goes on for long is written down while it does."""
    if carry.typed_config.Is(tcp_proxy_pb2.TcpProxy.DESCRIPTOR):
        proxy = tcp_proxy_pb2.TcpProxy.FromString(carry.typed_config.value)
        proxy.access_log_options.access_log_flush_interval.CopyFrom(messages.seconds(_PLAIN_AGAIN))
        return messages.extension(listener_components_pb2.Filter, _TCP, proxy)
    manager = hcm_pb2.HttpConnectionManager.FromString(carry.typed_config.value)
    manager.access_log_options.access_log_flush_interval.CopyFrom(messages.seconds(_PLAIN_AGAIN))
    return messages.extension(listener_components_pb2.Filter, _HCM, manager)


def waiting(carry: Message) -> Message:
    """The filter that carries bytes, connecting only at the first one."""
    proxy = tcp_proxy_pb2.TcpProxy.FromString(carry.typed_config.value)
    _wait(proxy)
    return messages.extension(listener_components_pb2.Filter, _TCP, proxy)


def _wait(proxy: Message) -> None:
    proxy.upstream_connect_mode = tcp_proxy_pb2.UpstreamConnectMode.Value("ON_DOWNSTREAM_DATA")
    proxy.max_early_data_bytes.CopyFrom(messages.number(_EARLY))


def http(
    prefix: str,
    route: str,
    bounds: Bounds,
    log: Message,
    *,
    inbound: bool,
    mesh: bool = False,
    ahead: Ahead | None = None,
) -> Message:
    """The filter that speaks HTTP/1.1 and HTTP/2, with the routes of that name; ``mesh``: callers show identities.

    ``ahead`` works before policies are asked.

    Paths are normalized on their way in, whether or not a rule looks at them (ADR 0182): were that switched on with the
    first rule that does, it would not hold on connections that are open.
    """
    manager = hcm_pb2.HttpConnectionManager(
        codec_type=hcm_pb2.HttpConnectionManager.AUTO,
        stat_prefix=prefix,
        rds=hcm_pb2.Rds(route_config_name=route, config_source=messages.ads()),
        http_filters=[
            *(ahead.filters if ahead else ()),
            *((*_authorization(), *traffic.http_filters(), spoofed.http_filter()) if inbound else ()),
            _router(),
        ],
        access_log=[log],
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            max_connection_duration=messages.seconds(bounds.age),
            max_headers_count=messages.number(bounds.headers.count) if bounds.headers.count else None,
        ),
        http_protocol_options=http1_options(),
        http2_protocol_options=http2_options(),
        stream_idle_timeout=messages.seconds(0),
        upgrade_configs=[hcm_pb2.HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        server_header_transformation=hcm_pb2.HttpConnectionManager.PASS_THROUGH,
        generate_request_id=messages.false(),
        preserve_external_request_id=True,
        use_remote_address=messages.true() if inbound else messages.false(),
        skip_xff_append=True,
        max_request_headers_kb=messages.number(bounds.headers.size or _HEADERS_KB),
        normalize_path=messages.true() if inbound else None,
        local_reply_config=_replies(ahead, mesh=mesh) if inbound else None,
        **_client_certificate(inbound=inbound, mesh=mesh),
    )
    if bounds.tracer is not None:
        bounds.tracer.apply(manager, inbound=inbound)
    return messages.extension(listener_components_pb2.Filter, _HCM, manager)


def _replies(ahead: Ahead | None, *, mesh: bool) -> Message:
    """What callers are told by the proxy itself."""
    first = [] if ahead is None else [_unauthenticated(ahead.not_good)]
    told = [_told_by_number(*each) for each in _REFUSALS]
    return hcm_pb2.LocalReplyConfig(mappers=[*first, *told, *([_undelivered()] if mesh else [])])


def _unauthenticated(told: Message) -> Message:
    """Says of a denial that the token is not good (RFC 6750 section 3.1), so that the caller gets another one."""
    made = _told_by_number(403, "denied")
    made.filter.CopyFrom(accesslog_pb2.AccessLogFilter(and_filter=accesslog_pb2.AndFilter(filters=[made.filter, told])))
    made.status_code.CopyFrom(messages.number(401))
    said = base_pb2.HeaderValue(key="www-authenticate", value='Bearer error="invalid_token"')
    made.headers_to_add.append(base_pb2.HeaderValueOption(header=said))
    return made


#: What the proxy itself answers, and the word for it.
_REFUSALS: Final = ((403, "denied"), (413, "too large"), (429, "limited"))


def _told_by_number(status: int, word: str) -> Message:
    """Says of a refusal only by which number the log can be searched for it."""
    code = base_pb2.RuntimeUInt32(default_value=status, runtime_key=f"ringfence.{word.replace(' ', '_')}")
    compared = accesslog_pb2.ComparisonFilter(op=accesslog_pb2.ComparisonFilter.EQ, value=code)
    refused = accesslog_pb2.AccessLogFilter(status_code_filter=accesslog_pb2.StatusCodeFilter(comparison=compared))
    text = base_pb2.DataSource(inline_string=f"{word}, decision {logs.DECISION}\n")
    body = substitution_format_string_pb2.SubstitutionFormatString(text_format_source=text)
    return hcm_pb2.ResponseMapper(filter=refused, body_format_override=body)


def _undelivered() -> Message:
    """Says of a request that it has not reached the program, which could not be connected (flag UF)."""
    failed = accesslog_pb2.AccessLogFilter(response_flag_filter=accesslog_pb2.ResponseFlagFilter(flags=["UF"]))
    said = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=UNDELIVERED, value="true"))
    return hcm_pb2.ResponseMapper(filter=failed, headers_to_add=[said])


def _client_certificate(*, inbound: bool, mesh: bool) -> dict[str, Any]:
    """What the program is told of its caller's certificate: nobody but the proxy says it."""
    kinds = hcm_pb2.HttpConnectionManager
    if inbound and mesh:
        told = kinds.SetCurrentClientCertDetails(uri=True)
        return {"forward_client_cert_details": kinds.SANITIZE_SET, "set_current_client_cert_details": told}
    return {"forward_client_cert_details": kinds.SANITIZE}


def http1_options() -> Message:
    """Trailers pass, as in HTTP/2 (Envoy drops those of HTTP/1.1 unless told so), and so does HTTP/1.0."""
    return protocol_pb2.Http1ProtocolOptions(accept_http_10=True, enable_trailers=True)


def http2_options() -> Message:
    """Small windows; WebSockets over HTTP/2 (RFC 8441) pass."""
    return protocol_pb2.Http2ProtocolOptions(
        allow_connect=True,
        initial_stream_window_size=messages.number(_STREAM_WINDOW),
        initial_connection_window_size=messages.number(_CONNECTION_WINDOW),
        max_concurrent_streams=messages.number(_STREAMS),
    )


def _authorization() -> list[Message]:
    """Filters that refuse every request until the routes bring a policy for them."""
    nothing = http_rbac_pb2.RBAC(rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW))
    return [messages.extension(hcm_pb2.HttpFilter, name, nothing) for name in (names.DENY_FILTER, names.ALLOW_FILTER)]


def _router() -> Message:
    return messages.extension(hcm_pb2.HttpFilter, _ROUTER, router_pb2.Router(suppress_envoy_headers=True))
