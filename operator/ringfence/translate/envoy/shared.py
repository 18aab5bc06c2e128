"""What many classes of proxies have in common, made once for all of them and kept from one pass to the next.

Everything here follows from the values that are asked with, so what is kept is never out of date. One thread at a time
may ask.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from envoy.config.listener.v3 import listener_components_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from google.protobuf import wrappers_pb2

from ringfence.model import proxy
from ringfence.model.probes import Probe
from ringfence.model.proxy import Resource
from ringfence.model.proxy_settings import Tracing
from ringfence.policy.callers import Account
from ringfence.policy.kept import Kept
from ringfence.translate.envoy import clusters, filters, logs, messages, names, principals, status, tunnel
from ringfence.translate.envoy.clusters import Endpoint
from ringfence.translate.envoy.filters import Bounds
from ringfence.translate.envoy.messages import Message
from ringfence.translate.envoy.subject import Subject
from ringfence.translate.envoy.tracing import cluster as collector

#: What is certain not to have reached the program.
_RETRIES: Final = "connect-failure,refused-stream,reset-before-request,retriable-headers"
#: Bytes that are kept of each kind at most, and what an entry and each of its endpoints take beside its content.
_MOST: Final = 32 << 20
_ENTRY, _ENDPOINT = 1000, 150


@dataclass(frozen=True, slots=True)
class Service:
    """A Service's port as a proxy calls it.

    ``accounts`` (sorted) are the identities behind it that answer in mutual TLS, ``plain`` says that some do not.
    """

    name: str
    accounts: tuple[Account, ...]
    trust_domain: str
    plain: bool
    http: bool
    bounds: Bounds

    @property
    def untraced(self) -> "Service":
        """The same for what has no spans, which all identities have in common."""
        return self if self.bounds.tracer is None else replace(self, bounds=self.bounds.untraced)


def _cluster(told: Service) -> Resource:
    sans = principals.exact(told.accounts, told.trust_domain)
    made = clusters.to_service(told.name, sans, plain=told.plain, http=told.http, age=told.bounds.age)
    return messages.resource(told.name, made)


def _endpoints(key: tuple[str, tuple[Endpoint, ...]]) -> Resource:
    name, found = key
    return messages.resource(name, clusters.assignment(name, found))


def _chain(told: Service) -> Message:
    if told.http:
        log = logs.of_requests(names.OUTBOUND)
        carry = filters.http("out.mesh", told.name, told.bounds, log, inbound=False)
    else:
        log = logs.of_connections(names.OUTBOUND, {"answer": "allowed"})
        carry = filters.tcp("out.mesh", told.name, told.bounds, log)
    return listener_components_pb2.FilterChain(name=told.name, filters=[carry])


def _route(key: tuple[str, bool]) -> Resource:
    """Everything to the cluster of that name, tried again where nothing has reached the other end.

    The other part of the key: CONNECT too.
    """
    name, tunnels = key
    retry = route_components_pb2.RetryPolicy(
        retry_on=_RETRIES,
        num_retries=wrappers_pb2.UInt32Value(value=2),
        retriable_headers=[route_components_pb2.HeaderMatcher(name=proxy.UNDELIVERED, present_match=True)],
        retry_host_predicate=[
            messages.extension(
                route_components_pb2.RetryPolicy.RetryHostPredicate,
                "envoy.retry_host_predicates.previous_hosts",
                previous_hosts_pb2.PreviousHostsPredicate(),
            )
        ],
        host_selection_retry_max_attempts=3,
    )
    on = route_components_pb2.RouteAction(cluster=name, timeout=messages.seconds(0), retry_policy=retry)
    route = route_components_pb2.Route(match=route_components_pb2.RouteMatch(prefix="/"), route=on)
    routes = [*([tunnel.route(on)] if tunnels else []), route]
    host = route_components_pb2.VirtualHost(name="service", domains=["*"], routes=routes)
    made = route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[host],
        response_headers_to_remove=[proxy.UNDELIVERED],
        validate_clusters=messages.false(),
    )
    return messages.resource(name, made)


@lru_cache(maxsize=1024)
def own_clusters(age: float, *, v6: bool, tracing: Tracing | None) -> tuple[Resource, ...]:
    """The clusters that every proxy has, the collector of spans among them where there is one."""
    made = (
        clusters.to_program(http=False, v6=v6, age=age),
        clusters.to_program(http=True, v6=v6, age=age),
        clusters.passthrough(),
        clusters.refused(),
        *((collector(tracing),) if tracing is not None else ()),
    )
    return tuple(messages.resource(each.name, each) for each in made)


@lru_cache(maxsize=1024)
def of_status(probes: tuple[Probe, ...], *, v4: bool, v6: bool) -> tuple[Resource, ...]:
    """The status listener, and the clusters that its probes go to."""
    listener, found = status.listener(Subject("", "", probes=probes, v4=v4, v6=v6))
    return tuple(messages.resource(each.name, each) for each in (listener, *found))


def _size(_: object, found: Resource) -> int:
    return _ENTRY + len(found.body)


#: The cluster of a Service; its endpoints, by its name and what is ready behind it (sorted); its routes, by its name
#: and whether CONNECT goes there.
cluster: Final = Kept(_cluster, weigh=_size, most=_MOST)
endpoints: Final = Kept(_endpoints, weigh=lambda key, made: _size(key, made) + _ENDPOINT * len(key[1]), most=_MOST)
route: Final = Kept(_route, weigh=_size, most=_MOST)
#: The chain that leads to a Service. Whoever gets it copies it, and never changes it.
chain: Final = Kept(_chain, weigh=lambda _, made: _ENTRY + int(made.ByteSize()), most=_MOST)
