"""Envoy's bootstrap: how a proxy finds proxyd, proves whose it is, and bounds what it takes. Pure.

Everything else comes from proxyd. The text goes into the container's arguments, where the kubelet writes the pod's
name, namespace and uid into it; Envoy itself replaces nothing. Nothing in it is secret: token and roots are files that
the kubelet renews, read again by Envoy whenever they change.

Reference: envoy.config.bootstrap.v3.Bootstrap.
"""

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from ringfence.inject.injection import Injection
from ringfence.model import proxy

_TYPE: Final = "type.googleapis.com/"
_EXTENSIONS: Final = f"{_TYPE}envoy.extensions."

#: Names of the two secrets that are files; the files say them too.
TOKEN_SECRET: Final = "proxyd-token"  # noqa: S105 (a name)
CA_SECRET: Final = "proxyd-ca"  # noqa: S105 (a name)

#: What is counted, by the names that Envoy gives it. Everything else would be most of an idle proxy's memory.
COUNTED_LIMITS: Final = ("limit.", "audit_limit.", "connection_limit.")
COUNTED_PREFIXES: Final = (
    "server.",
    "control_plane.",
    "listener_manager.",
    "cluster_manager.",
    "overload.",
    *COUNTED_LIMITS,
)
COUNTED_PARTS: Final = ("rbac", "ssl.fail_")
COUNTED_SUFFIXES: Final = (
    "downstream_cx_active",
    "downstream_cx_total",
    "downstream_rq_2xx",
    "downstream_rq_4xx",
    "downstream_rq_5xx",
    "downstream_rq_total",
    "jwks_fetch_failed",
    "jwks_fetch_success",
    "membership_healthy",
    "membership_total",
    "no_filter_chain_match",
    "ssl.connection_error",
    "ssl.handshake",
    "update_failure",
    "update_rejected",
    "update_success",
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_cx_total",
    "upstream_rq_5xx",
    "upstream_rq_total",
)

#: Labels of the metrics, and where in Envoy's names they stand: the first group is cut out, the second is the value.
#: ``policy`` is ``namespace/policy#rule``, ``limit`` the same with what has its bucket (``…#entry.caller``).
LABELS: Final = (
    ("answer", r"^tcp\.in\.plain(\.(allowed|denied))\."),
    ("audit", r"^(?:tcp|http)\.(?:in|out)\.(?:.+?\.)??(audit_(allowed|denied)\.)"),
    (
        "limit",
        r"^(?:audit_limit|limit|connection_limit\.(?:mesh|plain))(\.(.+?))\.(?:http_local_rate_limit\.)?[a-z_]+$",
    ),
    ("policy", r"^(?:http\.in\.(?:mesh|plain)\.rbac|tcp\.in\.plain\..+?)\.policy(\.(.+))\.[a-z_0-9]+$"),
    ("transport", r"^(?:tcp|http)\.(?:in|out)(\.(mesh|plain))\."),
)

#: Seconds: the first and the longest wait between two tries to reach proxyd, and how long a try may take to connect.
#: Thousands come back at once when proxyd does. Who waits for its turn costs nothing; who gives up has proxyd do its
#: part of a handshake in vain, and asks for another. So tries come soon and last long.
BACK_OFF_SECONDS: Final = (0.2, 2.0)
CONNECT_SECONDS: Final = 10.0
#: Connections that a proxy takes at most, of all listeners together.
MAX_CONNECTIONS: Final = 20_000
#: Bytes of an answer that a proxy has asked for by itself, such as an issuer's keys; a longer one is none.
MAX_ANSWER: Final = 1024 * 1024
#: Shares of the memory limit at which Envoy gives memory back, takes no new requests, and takes no new connections.
SHRINK, REFUSE_REQUESTS, REFUSE_CONNECTIONS = 0.90, 0.95, 0.98
#: The heap may grow to this share of the container's limit; the rest is stacks, and pages of the program.
HEAP_SHARE: Final = Decimal("0.85")

_QUANTITY: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|[kMGT]|[KMGT]i)?")
_FACTORS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{unit: Decimal(1000) ** power for power, unit in enumerate("kMGT", 1)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGT", 1)},
}


@lru_cache(maxsize=16)
def text(how: Injection) -> str:
    """The bootstrap as Envoy's ``--config-yaml`` takes it: JSON, the same bytes for the same settings."""
    return json.dumps(bootstrap(how), sort_keys=True, separators=(",", ":"))


def bootstrap(how: Injection) -> dict[str, Any]:
    """The bootstrap as a value; ``$(...)`` are references to the container's environment."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    made = {
        "node": {"id": proxy.node_id("$(POD_NAMESPACE)", "$(POD_NAME)", "$(POD_UID)"), "cluster": "ringfence"},
        "admin": {"address": {"pipe": {"path": proxy.ADMIN_SOCKET, "mode": 0o600}}},
        "dynamic_resources": {"ads_config": _ads(), "cds_config": ads, "lds_config": ads},
        "static_resources": {"clusters": [_proxyd(how.namespace), _admin()]},
        "stats_config": statistics(),
        "layered_runtime": runtime(),
        "memory_allocator_manager": {"bytes_to_release": 4 * 1024 * 1024, "memory_release_interval": "5s"},
    }
    return {**made, "overload_manager": _overload(_memory(how))}


def statistics() -> dict[str, Any]:
    """What is counted, and under which labels."""
    return {
        "use_all_default_tags": False,
        "stats_matcher": {"inclusion_list": {"patterns": _counted()}},
        "stats_tags": [{"tag_name": name, "regex": regex} for name, regex in LABELS],
    }


def runtime() -> dict[str, Any]:
    """What Envoy has no field for: how much of an answer to its own questions it keeps, such as keys of issuers."""
    told = {"http.async_response_buffer_limit": MAX_ANSWER}
    return {"layers": [{"name": "ringfence", "static_layer": told}]}


def sds_files() -> dict[str, str]:
    """The two SDS files that name token and roots, by their names in the volume; the kubelet renews what they name."""
    directory = {"path": proxy.MOUNT}
    token = {"name": TOKEN_SECRET, "generic_secret": {"secret": {"filename": f"{proxy.MOUNT}/token"}}}
    roots = {
        "name": CA_SECRET,
        "validation_context": {
            "trusted_ca": {"filename": f"{proxy.MOUNT}/ca.crt"},
            "watched_directory": directory,
        },
    }
    return {"sds-token.json": _secret_file(token), "sds-ca.json": _secret_file(roots)}


def _secret_file(secret: dict[str, Any]) -> str:
    typed = {"@type": f"{_EXTENSIONS}transport_sockets.tls.v3.Secret", **secret}
    return json.dumps({"resources": [typed]}, sort_keys=True, separators=(",", ":"))


def _ads() -> dict[str, Any]:
    first, longest = BACK_OFF_SECONDS
    retry = {"retry_back_off": {"base_interval": f"{first:g}s", "max_interval": f"{longest:g}s"}}
    return {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": proxy.ADS_CLUSTER, "retry_policy": retry}}],
    }


def _proxyd(namespace: str) -> dict[str, Any]:
    host = f"{proxy.PROXYD_SERVICE}.{namespace}.svc"
    options = {
        "@type": f"{_EXTENSIONS}upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {
            "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}
        },
        "http_filters": [_credentials(), _filter("upstream_codec", "UpstreamCodec", {})],
    }
    return {
        "name": proxy.ADS_CLUSTER,
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": f"{_EXTENSIONS}clusters.dns.v3.DnsCluster",
                "dns_lookup_family": "ALL",
                "dns_refresh_rate": "5s",
                "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "5s"},
            },
        },
        "connect_timeout": f"{CONNECT_SECONDS:g}s",
        "load_assignment": _assignment(
            proxy.ADS_CLUSTER, {"socket_address": {"address": host, "port_value": proxy.PROXYD_PORT}}
        ),
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_EXTENSIONS}transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": host,
                "max_session_keys": 0,
                "common_tls_context": _tls(host),
            },
        },
    }


def _tls(host: str) -> dict[str, Any]:
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2"],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": host}}]
            },
            "validation_context_sds_secret_config": {"name": CA_SECRET, "sds_config": _file("sds-ca.json")},
        },
    }


def _credentials() -> dict[str, Any]:
    credential = {
        "@type": f"{_EXTENSIONS}http.injected_credentials.generic.v3.Generic",
        "credential": {"name": TOKEN_SECRET, "sds_config": _file("sds-token.json")},
        "header": "authorization",
        "header_value_prefix": "Bearer ",
    }
    injected = {"name": "envoy.http.injected_credentials.generic", "typed_config": credential}
    return _filter("credential_injector", "CredentialInjector", {"overwrite": True, "credential": injected})


def _filter(name: str, message: str, config: dict[str, Any]) -> dict[str, Any]:
    typed = {"@type": f"{_EXTENSIONS}filters.http.{name}.v3.{message}", **config}
    return {"name": f"envoy.filters.http.{name}", "typed_config": typed}


def _file(name: str) -> dict[str, Any]:
    source = {"path": f"{proxy.MOUNT}/{name}", "watched_directory": {"path": proxy.MOUNT}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _admin() -> dict[str, Any]:
    return {
        "name": proxy.ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _assignment(proxy.ADMIN_CLUSTER, {"pipe": {"path": proxy.ADMIN_SOCKET}}),
    }


def _assignment(cluster: str, address: dict[str, Any]) -> dict[str, Any]:
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}


def _counted() -> list[dict[str, str]]:
    found = [{"prefix": each} for each in COUNTED_PREFIXES]
    found += [{"contains": each} for each in COUNTED_PARTS]
    return found + [{"suffix": each} for each in COUNTED_SUFFIXES]


def _memory(how: Injection) -> int:
    """The container's limit in bytes, 0 for none."""
    limit = dict(how.settings.limits).get("memory", "")
    match = _QUANTITY.fullmatch(limit)
    return int(Decimal(match[1]) * _FACTORS[match[2] or ""]) if match else 0


def _overload(memory: int) -> dict[str, Any]:
    connections = "global_downstream_max_connections"
    monitors = [
        _monitor(
            connections,
            "downstream_connections.v3.DownstreamConnectionsConfig",
            {"max_active_downstream_connections": MAX_CONNECTIONS},
        )
    ]
    if not memory:
        return {"refresh_interval": "0.25s", "resource_monitors": monitors}
    heap = {"max_heap_size_bytes": int(memory * HEAP_SHARE)}
    actions = {
        "shrink_heap": SHRINK,
        "stop_accepting_requests": REFUSE_REQUESTS,
        "stop_accepting_connections": REFUSE_CONNECTIONS,
    }
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [_monitor("fixed_heap", "fixed_heap.v3.FixedHeapConfig", heap), *monitors],
        "actions": [_action(name, at) for name, at in actions.items()],
    }


def _monitor(name: str, message: str, config: dict[str, int]) -> dict[str, Any]:
    typed = {"@type": f"{_EXTENSIONS}resource_monitors.{message}", **config}
    return {"name": f"envoy.resource_monitors.{name}", "typed_config": typed}


def _action(name: str, at: float) -> dict[str, Any]:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": at}}
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}
