"""Keys of issuers that proxies fetch: from one host by verified TLS, at addresses outside alone, within bounds.

Each proxy fetches for itself. Until it has keys no token of the issuer is good; once it has some it keeps them until it
gets others (ADR 0230).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, http_uri_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.clusters.common.dns.v3 import dns_pb2
from envoy.extensions.clusters.dns.v3 import dns_cluster_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2

from ringfence.model import proxy
from ringfence.model.effective import EffectiveRule
from ringfence.model.net import IpSet
from ringfence.model.tokens import Issuer, served_at
from ringfence.model.world import Installation
from ringfence.policy import fetches, peers
from ringfence.translate.envoy import clusters, hosts, messages, names, tls
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.subject import Subject

#: Seconds: after which keys are fetched again, or after which again where that has failed, and how long it may take in
#: all, tries included. A request whose token is to be checked before there are keys waits for as long.
REFRESH, AGAIN, TIMEOUT = 300, 30, 5
#: Tries, and seconds for each.
_TRIES, _TRY = 2, 2
_CONNECT: Final = 2
#: Seconds after which names are resolved again; the least and the most where that has failed.
RESOLVE, _RESOLVE_AGAIN = 30, (1, 30)
#: Connections, and requests, at once to one host: so many chains may ask at the start, and so many requests while there
#: are no keys. The others' tokens are not good.
_CONNECTIONS, _REQUESTS = 16, 64
_BUFFER: Final = 32 * 1024
_DNS: Final = "envoy.cluster.dns"
_OWN_HEADERS: Final = ("x-envoy-internal", "x-forwarded-for", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms")


@dataclass(frozen=True, slots=True)
class Server:
    """Whoever serves keys: host, port, and the roots (PEM) that sign for it, "" for those of the image.

    With other roots it is another one, so that both change together.
    """

    host: str
    port: int
    roots: str

    @classmethod
    def of(cls, issuer: Issuer) -> "Server":
        """Whoever serves the keys of an issuer."""
        return cls(*served_at(issuer.jwks_uri), issuer.ca_bundle)

    @property
    def _digest(self) -> str:
        return messages.digest(self.host, str(self.port), self.roots)[:12]

    @property
    def cluster(self) -> str:
        """The name of the cluster that connects."""
        return f"{names.KEYS}|{self.host}:{self.port}|{self._digest}"

    @property
    def way(self) -> str:
        """The name of the cluster and of the listener through which requests get there."""
        return f"{names.TO_KEYS}|{self.host}:{self.port}|{self._digest}"

    @property
    def socket(self) -> str:
        """The path of the socket between the two."""
        return f"{proxy.KEYS_SOCKETS}{self._digest}"


def remote(issuer: Issuer) -> Message:
    """How the keys of an issuer are fetched: beside requests, redirects not followed."""
    return jwt.RemoteJwks(
        http_uri=http_uri_pb2.HttpUri(
            uri=issuer.jwks_uri, cluster=Server.of(issuer).way, timeout=messages.seconds(TIMEOUT)
        ),
        cache_duration=messages.seconds(REFRESH),
        # What changes in a policy must not wait for an issuer that is slow: the listener is there before the keys are.
        async_fetch=jwt.JwksAsyncFetch(fast_listener=True, failed_refetch_duration=messages.seconds(AGAIN)),
    )


def resources(
    issuers: Iterable[Issuer],
    rules: Iterable[EffectiveRule],
    installation: Installation,
    subject: Subject,
    age: float,
) -> tuple[list[Message], list[Message]]:
    """Clusters and listeners by which the keys of these issuers are fetched; ``rules`` are those that govern the pods.

    What Envoy fetches by itself passes none of the filters by which a cluster judges where it connects. So it goes
    through a socket of the proxy's own to a listener, and from there as any request does.
    """
    servers = sorted({Server.of(issuer) for issuer in issuers if issuer.fetched}, key=lambda each: each.cluster)
    denies = fetches.denying(rules) if servers else ()
    found = []
    for each in servers:
        addresses = peers.outside_on(each.port, denies, installation)
        found += [_to_socket(each), cluster(each, addresses, age, v4=subject.v4, v6=subject.v6)]
    return found, [_listener(each) for each in servers]


def _socket(server: Server) -> Message:
    return address_pb2.Address(pipe=address_pb2.Pipe(path=server.socket, mode=0o600))


def _to_socket(server: Server) -> Message:
    return cluster_pb2.Cluster(
        name=server.way,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=messages.seconds(1),
        load_assignment=_assignment(server.way, _socket(server)),
        per_connection_buffer_limit_bytes=messages.number(_BUFFER),
        circuit_breakers=_breakers(),
    )


def _assignment(name: str, address: Message) -> Message:
    endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=address))
    places = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[endpoint])]
    return endpoint_pb2.ClusterLoadAssignment(cluster_name=name, endpoints=places)


def _listener(server: Server) -> Message:
    manager = hcm_pb2.HttpConnectionManager(
        stat_prefix="out.keys",
        route_config=_route(server),
        http_filters=[
            messages.extension(
                hcm_pb2.HttpFilter, "envoy.filters.http.router", router_pb2.Router(suppress_envoy_headers=True)
            )
        ],
        generate_request_id=messages.false(),
        skip_xff_append=True,
        stream_idle_timeout=messages.seconds(TIMEOUT),
    )
    filter_ = messages.extension(
        listener_components_pb2.Filter, "envoy.filters.network.http_connection_manager", manager
    )
    return listener_pb2.Listener(
        name=server.way,
        stat_prefix=names.TO_KEYS,
        address=_socket(server),
        filter_chains=[listener_components_pb2.FilterChain(name=server.way, filters=[filter_])],
        per_connection_buffer_limit_bytes=messages.number(_BUFFER),
    )


def _route(server: Server) -> Message:
    retry = route_components_pb2.RetryPolicy(
        retry_on="connect-failure,reset,gateway-error",
        num_retries=messages.number(_TRIES - 1),
        per_try_timeout=messages.seconds(_TRY),
    )
    on = route_components_pb2.RouteAction(cluster=server.cluster, timeout=messages.seconds(TIMEOUT), retry_policy=retry)
    route = route_components_pb2.Route(match=route_components_pb2.RouteMatch(prefix="/"), route=on)
    host = route_components_pb2.VirtualHost(name="keys", domains=["*"], routes=[route])
    return route_pb2.RouteConfiguration(
        name=server.way,
        virtual_hosts=[host],
        # What the proxy says of itself is nobody's business outside, the pod's address among it.
        request_headers_to_remove=_OWN_HEADERS,
        validate_clusters=messages.false(),
    )


@lru_cache(maxsize=1024)
def cluster(server: Server, addresses: IpSet, age: float, *, v4: bool, v6: bool) -> Message:
    """The cluster that connects to a server at one of ``addresses``, for pods with addresses of these versions."""
    kinds = cluster_pb2.Cluster
    found = kinds(
        name=server.cluster,
        cluster_type=messages.extension(kinds.CustomClusterType, _DNS, _resolved(v4=v4, v6=v6)),
        connect_timeout=messages.seconds(_CONNECT),
        load_assignment=_assignment(server.cluster, messages.address(server.host, server.port)),
        per_connection_buffer_limit_bytes=messages.number(_BUFFER),
        circuit_breakers=_breakers(),
        transport_socket=tls.to_host(server.host, server.roots),
    )
    return clusters.judged(found, age, hosts.judges([(server.port, addresses)]))


def _resolved(*, v4: bool, v6: bool) -> Message:
    """Each address is an end of its own, so that each is judged before anybody connects (ADR 0225)."""
    families = {(True, True): dns_pb2.ALL, (True, False): dns_pb2.V4_ONLY, (False, True): dns_pb2.V6_ONLY}
    least, most = _RESOLVE_AGAIN
    return dns_cluster_pb2.DnsCluster(
        dns_refresh_rate=messages.seconds(RESOLVE),
        dns_failure_refresh_rate=dns_cluster_pb2.DnsCluster.RefreshRate(
            base_interval=messages.seconds(least), max_interval=messages.seconds(most)
        ),
        dns_lookup_family=families.get((v4, v6), dns_pb2.ALL),
        typed_dns_resolver_config=hosts.resolver(),
    )


def _breakers() -> Message:
    requests = messages.number(_REQUESTS)
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=messages.number(_CONNECTIONS),
        max_pending_requests=requests,
        max_requests=requests,
        max_retries=requests,
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold])
