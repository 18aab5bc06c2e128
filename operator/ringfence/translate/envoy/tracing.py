"""Spans for an OpenTelemetry collector, where the platform has named one: one for each request, at either end.

Context comes and goes in ``traceparent`` and ``tracestate`` (W3C Trace Context). A request that brings it is traced if
its caller's is; of the others a share. Without a collector nothing here is called, and context passes as any header.
"""

import ipaddress
from dataclasses import dataclass
from typing import Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2, grpc_service_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.trace.v3 import http_tracer_pb2, opentelemetry_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.request_id.uuid.v3 import uuid_pb2
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import static_config_resource_detector_pb2
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    parent_based_sampler_pb2,
    trace_id_ratio_based_sampler_pb2,
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.tracing.v3 import custom_tag_pb2
from envoy.type.v3 import percent_pb2

from ringfence.model.proxy_settings import Tracing
from ringfence.translate.envoy import logs, messages, names
from ringfence.translate.envoy.messages import Message

_HTTP: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_SAMPLERS: Final = "envoy.tracers.opentelemetry.samplers"
_DETECTOR: Final = "envoy.tracers.opentelemetry.resource_detectors.static_config"
#: Seconds for an export, and between two looks at the collector's name.
_EXPORT: Final = 2.0
_LOOK_UP: Final = 30.0

#: What spans say beside Envoy's own: as the access log has it, and paths without their queries.
_TAGS: Final = {"url.path": "%PATH(NQ:PATH)%", "ringfence.details": "%RESPONSE_CODE_DETAILS%"}
_INBOUND: Final = {
    "ringfence.decision": logs.DECISION,
    "ringfence.peer": "%DOWNSTREAM_PEER_URI_SAN%",
    "ringfence.policy": "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
}
_OUTBOUND: Final = {"ringfence.peer": "%UPSTREAM_PEER_URI_SAN%"}


@dataclass(frozen=True, slots=True)
class Tracer:
    """Spans of one identity's proxies: ``service`` and ``namespace`` are who they are of."""

    tracing: Tracing
    namespace: str
    service: str

    def apply(self, manager: Message, *, inbound: bool) -> None:
        """Have a manager of HTTP connections trace."""
        manager.tracing.CopyFrom(self._tracing(inbound=inbound))
        # Envoy would sample by a request id, which it had to make and to show to programs; the tracer needs none.
        ids = uuid_pb2.UuidRequestIdConfig(
            pack_trace_reason=messages.false(), use_request_id_for_trace_sampling=messages.false()
        )
        manager.request_id_extension.CopyFrom(hcm_pb2.RequestIDExtension(typed_config=messages.packed(ids)))

    def _tracing(self, *, inbound: bool) -> Message:
        tags = {**_TAGS, **(_INBOUND if inbound else _OUTBOUND)}
        return hcm_pb2.HttpConnectionManager.Tracing(
            # The path as Envoy writes it has the query, and people put secrets into queries.
            max_path_tag_length=messages.number(0),
            operation="%REQUEST_HEADER(:METHOD)%",
            custom_tags=[custom_tag_pb2.CustomTag(tag=tag, value=value) for tag, value in sorted(tags.items())],
            provider=messages.extension(
                http_tracer_pb2.Tracing.Http, "envoy.tracers.opentelemetry", self._open_telemetry()
            ),
        )

    def _open_telemetry(self) -> Message:
        grpc = grpc_service_pb2.GrpcService
        static = static_config_resource_detector_pb2.StaticConfigResourceDetectorConfig(
            attributes={"service.namespace": self.namespace}
        )
        return opentelemetry_pb2.OpenTelemetryConfig(
            grpc_service=grpc(envoy_grpc=grpc.EnvoyGrpc(cluster_name=names.TRACING), timeout=messages.seconds(_EXPORT)),
            service_name=self.service,
            sampler=self._sampler(),
            resource_detectors=[messages.extension(extension_pb2.TypedExtensionConfig, _DETECTOR, static)],
        )

    def _sampler(self) -> Message:
        """As the caller's context says; without one, by the trace's id, so that all proxies would agree."""
        kind = extension_pb2.TypedExtensionConfig
        share = percent_pb2.FractionalPercent(
            numerator=round(self.tracing.sampling * 10_000), denominator=percent_pb2.FractionalPercent.MILLION
        )
        by_id = trace_id_ratio_based_sampler_pb2.TraceIdRatioBasedSamplerConfig(sampling_percentage=share)
        parent = parent_based_sampler_pb2.ParentBasedSamplerConfig(
            wrapped_sampler=messages.extension(kind, f"{_SAMPLERS}.trace_id_ratio_based", by_id)
        )
        return messages.extension(kind, f"{_SAMPLERS}.parent_based", parent)


def cluster(tracing: Tracing) -> Message:
    """The collector. Nothing waits for it: a proxy is ready whether its name is known or not."""
    kinds = http_protocol_options_pb2.HttpProtocolOptions
    http2 = kinds(
        explicit_http_config=kinds.ExplicitHttpConfig(http2_protocol_options=protocol_pb2.Http2ProtocolOptions())
    )
    place = endpoint_components_pb2.LbEndpoint(
        endpoint=endpoint_components_pb2.Endpoint(address=messages.address(tracing.host, tracing.port))
    )
    found = cluster_pb2.Cluster(
        name=names.TRACING,
        connect_timeout=messages.seconds(_EXPORT),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=names.TRACING, endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[place])]
        ),
    )
    found.typed_extension_protocol_options[_HTTP].CopyFrom(messages.packed(http2))
    if _is_address(tracing.host):
        found.type = cluster_pb2.Cluster.STATIC
        return found
    dns = dns_cluster_pb2.DnsCluster(
        dns_lookup_family=dns_pb2.ALL,
        dns_refresh_rate=messages.seconds(_LOOK_UP),
    )
    found.cluster_type.CopyFrom(messages.extension(cluster_pb2.Cluster.CustomClusterType, "envoy.cluster.dns", dns))
    found.wait_for_warm_on_init.CopyFrom(messages.false())
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
