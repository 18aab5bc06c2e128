"""Hosts outside that rules name: the name that a program shows decides, never the address that it chose.

TLS goes as bytes through a socket of the proxy's own into a request (CONNECT) to the name in its SNI; plain HTTP shows
its Host. So both are requests whose name the routes' policy judges, and both end at one cluster that resolves the name
itself and connects to an address only after the address has been judged too: every address alone, whatever answers
come and however often they change (ADR 0225).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import address_pb2, extension_pb2, resolver_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.clusters.dynamic_forward_proxy.v3 import cluster_pb2 as forward_cluster_pb2
from envoy.extensions.filters.http.dynamic_forward_proxy.v3 import dynamic_forward_proxy_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2
from envoy.extensions.rbac.matchers.upstream_ip_port.v3 import upstream_ip_port_matcher_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from envoy.type.v3 import range_pb2
from google.protobuf import wrappers_pb2

from ringfence.model import hosts, proxy
from ringfence.model.effective import AddressPeers, EffectivePolicy, EffectiveRule
from ringfence.model.net import IpSet
from ringfence.model.resources import Action, Mode
from ringfence.model.world import Installation
from ringfence.policy import peers, reach
from ringfence.translate.envoy import clusters, filters, logs, messages, names
from ringfence.translate.envoy.filters import Bounds
from ringfence.translate.envoy.messages import Message

_AUTHORITY: Final = ":authority"
#: The port whose names may go without it (RFC 9110 §4.2.1).
_HTTP_PORT: Final = 80
#: Names in use at once, each with its addresses; whoever asks for more waits until some are no longer used.
_MOST: Final = 256
#: Seconds after which a name that nobody uses is forgotten.
_UNUSED: Final = 300
#: One whole label, and what comes behind a dot. ASCII alone: ignoring case, RE2 takes other letters for K and S.
_LABEL, _REST = "[A-Za-z0-9_-]+", r"\.[!-\-/-~]+"
_TCP: Final = "envoy.filters.network.tcp_proxy"
_HCM: Final = "envoy.filters.network.http_connection_manager"
_CONNECT: Final = "CONNECT"


@dataclass(frozen=True, slots=True)
class Named:
    """What is open by name on one port: patterns by rule (sorted), and the addresses that names may lead to."""

    port: int
    patterns: tuple[tuple[str, tuple[str, ...]], ...]
    addresses: IpSet

    @property
    def digest(self) -> str:
        """Of all that is open."""
        return messages.digest(repr(self))[:8]


def named(policy: EffectivePolicy, installation: Installation) -> tuple[Named, ...]:
    """What the rules of a class's egress open by name, by port."""
    enforced = [rule for rule in policy.rules if rule.mode is Mode.ENFORCE]
    allows = [r for r in enforced if r.action is Action.ALLOW and r.hosts and r.suspended_by is None]
    denies = [r for r in enforced if r.action is Action.DENY]
    by_port: dict[int, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for rule in allows:
        for port in _ports(rule):
            by_port[port][names.policy_id(rule.ref)] = tuple(name for peer in rule.hosts for name in peer.hosts)
    found = ((port, tuple(sorted(by_port[port].items()))) for port in sorted(by_port))
    return tuple(Named(port, patterns, _left(port, denies, installation)) for port, patterns in found)


def _ports(rule: EffectiveRule) -> Iterator[int]:
    for _, first, last in reach.port_spans(rule.ports, ()).spans:
        yield from range(first, last + 1)


def _left(port: int, denies: Iterable[EffectiveRule], installation: Installation) -> IpSet:
    """The addresses that names may lead to on a port: those outside, less those that are denied."""
    left = peers.outside(installation)
    for rule in denies:
        if reach.port_spans(rule.ports, ()).holds(reach.PORT, port):
            for peer in rule.peers:
                left = left.minus(peer.addresses) if isinstance(peer, AddressPeers) else left
    return left


# --- chains ---------------------------------------------------------------------------------------------------------


def of_tls(told: Named, bounds: Bounds) -> Message:
    """The filter that takes TLS: on to the own socket, as a request to the name in its SNI. Without one it is refused
    there, since no policy names it."""
    carry = filters.tcp("out.hosts", names.TO_NAMES, bounds, logs.of_connections(names.OUTBOUND))
    inner = tcp_proxy_pb2.TcpProxy.FromString(carry.typed_config.value)
    del inner.access_log[:]  # the request is written down, with its answer
    inner.tunneling_config.hostname = f"%REQUESTED_SERVER_NAME%:{told.port}"
    return messages.extension(listener_components_pb2.Filter, _TCP, inner)


def of_http(told: Named, bounds: Bounds) -> Message:
    """The filter that takes everything else as plain HTTP; what is none, or in the form for proxies, is refused."""
    return _manager("out.hosts", route_name(told.port), bounds, tunnel=False)


def route_name(port: int) -> str:
    """The name of the routes for plain HTTP to a port."""
    return f"out|{names.BY_NAME}|{port}"


def _manager(prefix: str, route: str, bounds: Bounds, *, tunnel: bool) -> Message:
    # Of what comes through the own socket the first filter knows nothing but the name.
    said = dict.fromkeys(("source", "destination", "method"), "") if tunnel else {}
    carry = filters.http(prefix, route, bounds.untraced, logs.of_requests(names.OUTBOUND, said), inbound=False)
    manager = hcm_pb2.HttpConnectionManager.FromString(carry.typed_config.value)
    nothing = http_rbac_pb2.RBAC(rules=rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW))
    kinds = dynamic_forward_proxy_pb2
    resolve = kinds.FilterConfig(sub_cluster_config=kinds.SubClusterConfig(cluster_init_timeout=messages.seconds(5)))
    steps = {
        names.ALLOW_FILTER: nothing,
        "envoy.filters.http.dynamic_forward_proxy": resolve,
        "envoy.filters.http.router": router_pb2.Router(suppress_envoy_headers=True),
    }
    del manager.http_filters[:]
    manager.http_filters.extend(messages.extension(hcm_pb2.HttpFilter, *each) for each in steps.items())
    manager.http_protocol_options.allow_absolute_url.CopyFrom(messages.false())
    manager.normalize_path.CopyFrom(messages.true())
    if tunnel:
        del manager.upgrade_configs[:]
        manager.upgrade_configs.add(upgrade_type=_CONNECT)
    return messages.extension(listener_components_pb2.Filter, _HCM, manager)


def tunnel(bounds: Bounds) -> Message:
    """The listener at the own socket."""
    filter_ = _manager("out.names", names.TO_NAMES, bounds, tunnel=True)
    return listener_pb2.Listener(
        name=names.TO_NAMES,
        stat_prefix=names.TO_NAMES,
        address=_socket(),
        filter_chains=[listener_components_pb2.FilterChain(name=names.TO_NAMES, filters=[filter_])],
        per_connection_buffer_limit_bytes=messages.number(clusters.BUFFER),
    )


def _socket() -> Message:
    return address_pb2.Address(pipe=address_pb2.Pipe(path=proxy.NAMES_SOCKET, mode=0o600))


# --- who may be named -----------------------------------------------------------------------------------------------


def routes(found: Iterable[Named]) -> Iterator[Message]:
    """The routes of the own socket and of plain HTTP; the policy travels with them."""
    told = tuple(found)
    policies: dict[str, list[Message]] = defaultdict(list)
    for one in told:
        for rule, patterns in one.patterns:
            policies[rule] += [_is(pattern, f":{one.port}") for pattern in patterns]
    yield _route(names.TO_NAMES, policies, tunnel=True)
    for one in told:
        yield _route(route_name(one.port), dict(_of_http(one)), tunnel=False)


def _of_http(told: Named) -> Iterator[tuple[str, list[Message]]]:
    ends = (f":{told.port}", "") if told.port == _HTTP_PORT else (f":{told.port}",)
    for rule, patterns in told.patterns:
        yield rule, [_is(pattern, end) for pattern in patterns for end in ends]


def _is(pattern: str, end: str) -> Message:
    """The name, and the port as it has to be given."""
    if not hosts.is_wildcard(pattern):
        return _authority(string_pb2.StringMatcher(exact=f"{pattern}{end}", ignore_case=True))
    # The name stands in no expression: Envoy takes none of more than a hundred steps. Its dots are counted instead.
    rest = pattern.removeprefix("*")
    labels = regex_pb2.RegexMatcher(regex=f"{_LABEL}(?:{_REST}){{{rest.count('.')}}}")
    ends = string_pb2.StringMatcher(suffix=f"{rest}{end}", ignore_case=True)
    return _all(_authority(ends), _authority(string_pb2.StringMatcher(safe_regex=labels)))


def _authority(matcher: Message) -> Message:
    return rbac_pb2.Permission(header=route_components_pb2.HeaderMatcher(name=_AUTHORITY, string_match=matcher))


def _route(name: str, policies: Mapping[str, list[Message]], *, tunnel: bool) -> Message:
    retry = route_components_pb2.RetryPolicy(
        retry_on="connect-failure",
        num_retries=wrappers_pb2.UInt32Value(value=2),
        retry_host_predicate=[
            messages.extension(
                route_components_pb2.RetryPolicy.RetryHostPredicate,
                "envoy.retry_host_predicates.previous_hosts",
                previous_hosts_pb2.PreviousHostsPredicate(),
            )
        ],
        host_selection_retry_max_attempts=3,
    )
    on = route_components_pb2.RouteAction(cluster=names.BY_NAME, timeout=messages.seconds(0), retry_policy=retry)
    match = route_components_pb2.RouteMatch(prefix="/")
    if tunnel:
        connect = route_components_pb2.RouteAction.UpgradeConfig
        on.upgrade_configs.append(connect(upgrade_type=_CONNECT, connect_config=connect.ConnectConfig()))
        match = route_components_pb2.RouteMatch(connect_matcher=route_components_pb2.RouteMatch.ConnectMatcher())
    route = route_components_pb2.Route(match=match, route=on)
    host = route_components_pb2.VirtualHost(name="hosts", domains=["*"], routes=[route])
    made = route_pb2.RouteConfiguration(name=name, virtual_hosts=[host], validate_clusters=messages.false())
    allow = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW)
    for rule, permissions in policies.items():
        anybody = [rbac_pb2.Principal(any=True)]
        allow.policies[rule].CopyFrom(rbac_pb2.Policy(permissions=permissions, principals=anybody))
    judged = http_rbac_pb2.RBACPerRoute(rbac=http_rbac_pb2.RBAC(rules=allow))
    made.typed_per_filter_config[names.ALLOW_FILTER].CopyFrom(messages.packed(judged))
    return made


# --- where names lead -----------------------------------------------------------------------------------------------


def own_clusters(found: tuple[Named, ...], bounds: Bounds, *, v4: bool, v6: bool) -> tuple[Message, ...]:
    """The cluster of the own socket, and the one that resolves names and connects."""
    return _to_socket(), _by_name(found, bounds.age, v4, v6)


def _to_socket() -> Message:
    endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=_socket()))
    places = [endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[endpoint])]
    made = cluster_pb2.Cluster(
        name=names.TO_NAMES,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=messages.seconds(1),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(cluster_name=names.TO_NAMES, endpoints=places),
        per_connection_buffer_limit_bytes=messages.number(clusters.BUFFER),
        circuit_breakers=clusters.breakers(),
    )
    return clusters.over_http2(made)


@lru_cache(maxsize=1024)
def _by_name(found: tuple[Named, ...], age: float, v4: bool, v6: bool) -> Message:
    kinds = cluster_pb2.Cluster
    families = {(True, True): kinds.ALL, (True, False): kinds.V4_ONLY, (False, True): kinds.V6_ONLY}
    clusters_ = forward_cluster_pb2.SubClustersConfig(
        max_sub_clusters=messages.number(_MOST), sub_cluster_ttl=messages.seconds(_UNUSED)
    )
    # A cluster of its own for each name, so that each of its addresses is an end of its own, which is judged before
    # anybody connects; otherwise a name's other addresses would be tried by themselves where the first does not answer.
    config = forward_cluster_pb2.ClusterConfig(sub_clusters_config=clusters_, allow_insecure_cluster_options=True)
    made = kinds(
        name=names.BY_NAME,
        cluster_type=messages.extension(kinds.CustomClusterType, "envoy.clusters.dynamic_forward_proxy", config),
        lb_policy=kinds.CLUSTER_PROVIDED,
        connect_timeout=messages.seconds(5),
        dns_lookup_family=families.get((v4, v6), kinds.ALL),
        respect_dns_ttl=True,
        typed_dns_resolver_config=_resolver(),
        per_connection_buffer_limit_bytes=messages.number(clusters.BUFFER),
        circuit_breakers=clusters.breakers(),
    )
    judge = (
        messages.extension(hcm_pb2.HttpFilter, "envoy.filters.http.upstream_rbac", _addresses(found)),
        messages.extension(hcm_pb2.HttpFilter, "envoy.filters.http.upstream_codec", upstream_codec_pb2.UpstreamCodec()),
    )
    return clusters.judged(made, age, judge)


def _resolver() -> Message:
    """The pod's own name servers; a name is whole as it is, so no search list makes another of it."""
    options = resolver_pb2.DnsResolverOptions(no_default_search_domain=True)
    config = cares_dns_resolver_pb2.CaresDnsResolverConfig(dns_resolver_options=options)
    return messages.extension(extension_pb2.TypedExtensionConfig, "envoy.network.dns_resolver.cares", config)


def _addresses(found: Iterable[Named]) -> Message:
    """Lets through what leads to an address outside; anything else is refused before it is connected to."""
    by_addresses: dict[IpSet, list[int]] = defaultdict(list)
    for one in found:
        by_addresses[one.addresses].append(one.port)
    permissions = [
        _all(_any(_upstream(upstream_port_range=_range(port)) for port in ports), _within(addresses))
        for addresses, ports in sorted(by_addresses.items(), key=lambda each: each[1])
        if not addresses.empty
    ]
    allow = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW)
    if permissions:
        anybody = [rbac_pb2.Principal(any=True)]
        allow.policies["outside"].CopyFrom(rbac_pb2.Policy(permissions=permissions, principals=anybody))
    return http_rbac_pb2.RBAC(rules=allow)


def _range(port: int) -> Message:
    return range_pb2.Int64Range(start=port, end=port + 1)


def _within(addresses: IpSet) -> Message:
    return _any(_block(network, cut) for network, cut in addresses.blocks)


def _block(network: str, cut: tuple[str, ...]) -> Message:
    inside = _upstream(upstream_ip=_cidr(network))
    if not cut:
        return inside
    return _all(inside, rbac_pb2.Permission(not_rule=_any(_upstream(upstream_ip=_cidr(each)) for each in cut)))


def _cidr(network: str) -> Message:
    address, _, length = network.partition("/")
    return address_pb2.CidrRange(address_prefix=address, prefix_len=messages.number(int(length)))


def _upstream(**what: Any) -> Message:
    matcher = upstream_ip_port_matcher_pb2.UpstreamIpPortMatcher(**what)
    typed = messages.extension(extension_pb2.TypedExtensionConfig, "envoy.rbac.matchers.upstream_ip_port", matcher)
    return rbac_pb2.Permission(matcher=typed)


def _any(several: Iterable[Message]) -> Message:
    found = list(several)
    return found[0] if len(found) == 1 else rbac_pb2.Permission(or_rules=rbac_pb2.Permission.Set(rules=found))


def _all(*several: Message) -> Message:
    return rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=several))
