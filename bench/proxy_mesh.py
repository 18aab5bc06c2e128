"""The mesh that proxies are measured in: one Service under twenty policies, and many others of which four are open.

``web`` calls ``api``, on a port that speaks HTTP and on one of which the proxy knows only bytes. The world is a value:
the configuration is made of it by what proxyd makes it with.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.config.listener.v3 import listener_components_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf import message
from ringfence.inject import bootstrap as injected
from ringfence.inject.injection import Injection
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.proxy import ProxyConfig
from ringfence.model.proxy_settings import ProxySettings
from ringfence.model.requests import Requests
from ringfence.model.resources import (
    Action,
    AppliesTo,
    IdentityPeer,
    PolicySpec,
    PortSpec,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
)
from ringfence.model.world import Installation, Namespace, Workload, World
from ringfence.policy.resolve import resolve
from ringfence.translate import envoy
from ringfence.translate.envoy import matching, messages, static

from bench import pods

TRUST_DOMAIN: Final = "cluster.local"
NAMESPACE: Final = "shop"
OTHERS: Final = "others"
SERVER, CALLER = "api", "web"
#: The policy that a measurement brings.
MEASURED: Final = "measured"
SERVICE_IP: Final = "10.96.0.1"
#: By protocol: the port that is called, of the Service and of the pod.
PORTS: Final = {"HTTP": 8080, "TCP": 5432}
POLICIES: Final = 20
#: Services that the caller may call, the measured one among them.
REACHABLE: Final = 5
_PODS_OF_SERVICE: Final = 2


def mesh(services: int, spec: PolicySpec | None = None) -> Mesh:
    """A cluster with so many Services, each with an identity of its own and two pods.

    A policy of ``spec`` stands in place of the twenty that let the caller in.
    """
    installation = Installation(trust_domain=TRUST_DOMAIN, pod_cidrs=("10.244.0.0/15",), open_services=(), proxies=True)
    accounts = [f"svc-{number}" for number in range(services - 1)]
    world = World(
        installation=installation,
        namespaces={name: _enforced(name) for name in (NAMESPACE, OTHERS)},
        identities={
            NAMESPACE: {name: ServiceIdentity(ResourceMeta(name, NAMESPACE), name) for name in (SERVER, *_callers())},
            OTHERS: {name: ServiceIdentity(ResourceMeta(name, OTHERS), name) for name in accounts},
        },
        policies={NAMESPACE: _of_server(spec), OTHERS: tuple(_openings())},
        workloads={
            NAMESPACE: (
                _pod(NAMESPACE, SERVER, SERVER, pods.SERVER),
                _pod(NAMESPACE, CALLER, CALLER, pods.CALLER),
            ),
            OTHERS: tuple(sorted(_other_pods(accounts), key=lambda pod: pod.name)),
        },
    )
    own = ServiceValue(NAMESPACE, SERVER, (SERVICE_IP,), _service_ports(), ((LABEL_IDENTITY, SERVER),))
    others = tuple(
        ServiceValue(OTHERS, each, (f"10.97.{n >> 8}.{n & 255}",), _service_ports(), ((LABEL_IDENTITY, each),))
        for n, each in enumerate(accounts)
    )
    endpoints = {(NAMESPACE, SERVER): (EndpointValue(SERVER, pods.SERVER),)}
    for pod in world.workloads[OTHERS]:
        endpoints[OTHERS, pod.service_account] = (
            *endpoints.get((OTHERS, pod.service_account), ()),
            EndpointValue(pod.name, pod.ips[0]),
        )
    found = {NAMESPACE: (own,), OTHERS: tuple(sorted(others))}
    return Mesh(world, cache(lambda namespace: resolve(world, namespace)), found, endpoints)


def configured(found: Mesh, account: str) -> ProxyConfig:
    """What the proxies of an identity of the namespace get."""
    ports = [{"containerPort": port} for port in PORTS.values()] if account == SERVER else []
    metadata = {"namespace": NAMESPACE, "name": account, "labels": {LABEL_IDENTITY: account}}
    spec = {"serviceAccountName": account, "containers": [{"name": "main", "ports": ports}]}
    return envoy.configure(envoy.subject({"metadata": metadata, "spec": spec}, found), found)


def whole(config: ProxyConfig, secrets: tuple[Any, ...], admin: str, *, bare: bool = False) -> dict[str, Any]:
    """The configuration as a file for Envoy, with the statistics and the bounds of memory that injected ones have.

    ``bare`` leaves the same listeners, routes and clusters without TLS, authorization and access log.
    """
    made = static.bootstrap(config, () if bare else secrets, admin=admin)
    if bare:
        _strip(made)
    sidecar = injected.bootstrap(Injection(ProxySettings()))
    kept = ("stats_config", "memory_allocator_manager", "overload_manager")
    return static.as_data(made) | {key: sidecar[key] for key in kept}


# --- the world ------------------------------------------------------------------------------------------------------


def _enforced(name: str) -> Namespace:
    return Namespace.of(name, {LABEL_ENROLL: "enforce"}, enforced=True)


def _pod(namespace: str, name: str, account: str, ip: str) -> Workload:
    return Workload(namespace, name, account, {LABEL_IDENTITY: account}, (ip,), proxied=True)


def _other_pods(accounts: list[str]) -> Iterator[Workload]:
    for number, account in enumerate(accounts):
        for each in range(_PODS_OF_SERVICE):
            at = number * _PODS_OF_SERVICE + each
            yield _pod(OTHERS, f"{account}-{each}", account, f"10.245.{at >> 8}.{at & 255}")


def _service_ports() -> tuple[ServicePort, ...]:
    told = {"HTTP": "http", "TCP": ""}
    return tuple(sorted(ServicePort(kind.lower(), port, port, app_protocol=told[kind]) for kind, port in PORTS.items()))


def _callers() -> list[str]:
    return [*(f"caller-{number}" for number in range(POLICIES - 1)), CALLER]


def _of_server(spec: PolicySpec | None) -> tuple[SecurityPolicy, ...]:
    if spec is None:
        return tuple(_guards())
    return (SecurityPolicy(ResourceMeta(MEASURED, NAMESPACE), AppliesTo((SERVER,)), spec),)


def _guards() -> Iterator[SecurityPolicy]:
    """Twenty policies for the server, of which the last lets the caller in."""
    for number, caller in enumerate(_callers()):
        yield _policy(NAMESPACE, f"guard-{number:02}", SERVER, caller)


def _openings() -> Iterator[SecurityPolicy]:
    for number in range(REACHABLE - 1):
        yield _policy(OTHERS, f"open-{number}", f"svc-{number}", CALLER)


def rule(name: str, caller: str, ports: Iterable[int], requests: Requests | None = None) -> Rule:
    """One that lets an identity of the namespace in."""
    return Rule(name, Action.ALLOW, (IdentityPeer(NAMESPACE, caller),), tuple(map(PortSpec, ports)), requests)


def _policy(namespace: str, name: str, target: str, caller: str) -> SecurityPolicy:
    spec = PolicySpec(ingress=(rule("call", caller, PORTS.values()),))
    return SecurityPolicy(ResourceMeta(name, namespace), AppliesTo((target,)), spec)


# --- the same Envoy without security ----------------------------------------------------------------------------------


def _strip(made: bootstrap_pb2.Bootstrap) -> None:
    resources = made.static_resources
    for cluster in resources.clusters:
        cluster.ClearField("transport_socket")
        del cluster.transport_socket_matches[:]
    for listener in resources.listeners:
        chains = {chain.name for chain in listener.filter_chains}
        for chain in listener.filter_chains:
            _strip_chain(chain)
        by_port = {port: f"in|{port}|mesh" for port in PORTS.values()}
        if chains >= set(by_port.values()):
            # Without TLS nothing need be told from the first bytes: the port alone leads to the chain.
            tree = matching.by_port({p: matching.to_chain(name) for p, name in by_port.items()}, matching.nothing())
            listener.filter_chain_matcher.CopyFrom(tree)
            kept = [each for each in listener.listener_filters if not each.name.endswith("tls_inspector")]
            del listener.listener_filters[:]
            listener.listener_filters.extend(kept)


def _strip_chain(chain: listener_components_pb2.FilterChain) -> None:
    chain.ClearField("transport_socket")
    kept = [each for each in chain.filters if not each.name.endswith("rbac")]
    del chain.filters[:]
    chain.filters.extend(kept)
    for filter_ in chain.filters:
        for kind in (hcm_pb2.HttpConnectionManager, tcp_proxy_pb2.TcpProxy):
            if filter_.typed_config.Is(kind.DESCRIPTOR):
                filter_.typed_config.CopyFrom(messages.packed(_stripped(kind.FromString(filter_.typed_config.value))))


def _stripped(found: message.Message) -> message.Message:
    if isinstance(found, hcm_pb2.HttpConnectionManager):
        del found.access_log[:]
        router = [each for each in found.http_filters if each.name.endswith("router")]
        del found.http_filters[:]
        found.http_filters.extend(router)
        found.route_config.ClearField("typed_per_filter_config")
    elif isinstance(found, tcp_proxy_pb2.TcpProxy):
        del found.access_log[:]
        found.ClearField("upstream_connect_mode")
        found.ClearField("max_early_data_bytes")
    return found
