"""Short ways to make meshes and pods for the tests of the proxies' configuration."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.proxy import ProxyConfig
from ringfence.model.world import World
from ringfence.translate import envoy
from ringfence.translate.envoy import messages

from tests.unit.policy import making


def mesh(
    known: World,
    services: Mapping[str, tuple[ServiceValue, ...]] | None = None,
    endpoints: Mapping[tuple[str, str], tuple[EndpointValue, ...]] | None = None,
) -> Mesh:
    """The snapshot of a world in which every pod of an enrolled namespace has its proxy."""
    closed = {name for name, namespace in known.namespaces.items() if namespace.enrolment != "none"}
    pods = {
        name: tuple(replace(pod, proxied=name in closed and not pod.host_network) for pod in found)
        for name, found in known.workloads.items()
    }
    world = replace(known, workloads=pods)
    return Mesh(world, making.effective(world), services or {}, endpoints or {})


def service(name: str, *ports: ServicePort, ip: str = "10.96.0.1", namespace: str = "shop") -> ServiceValue:
    """A Service of the identity of its name."""
    return ServiceValue(namespace, name, (ip,) if ip else (), ports, ((LABEL_IDENTITY, name),))


def pod(account: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A Pod as the API server has it."""
    metadata = {"namespace": namespace, "name": account, "labels": {LABEL_IDENTITY: account}}
    return {"metadata": metadata, "spec": {"serviceAccountName": account, **spec}}


def configured(found: Mesh, account: str = "api", namespace: str = "shop", **spec: Any) -> ProxyConfig:
    return envoy.configure(envoy.subject(pod(account, namespace, **spec), found), found)


def chains(config: ProxyConfig, listener: str) -> list[str]:
    """The names of a listener's chains."""
    found = next(each for each in config.listeners if each.name == listener)
    return [chain.name for chain in messages.unpacked(found, listener_pb2.Listener).filter_chains]


def names(resources: Any) -> list[str]:
    return [each.name for each in resources]
