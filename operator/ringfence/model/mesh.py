"""What the proxies' configuration is made from: one frozen snapshot of the cluster, shared by all of them.

Who may call whom follows from ``world`` and ``effective`` alone. Services and endpoints are written by tenants, so they
only say where something is: an endpoint counts when a pod of that name in that namespace has that address.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import Protocol
from ringfence.model.world import World


@dataclass(frozen=True, slots=True, order=True)
class ServicePort:
    """A port of a Service.

    ``name`` is "" where it has none, ``port`` the one at the Service's addresses, ``target`` the port of the pods as a
    number or a container port's name, ``app_protocol`` as Kubernetes has it (``http``, ``kubernetes.io/h2c``), or "".
    """

    name: str
    port: int
    target: int | str
    protocol: Protocol = Protocol.TCP
    app_protocol: str = ""


@dataclass(frozen=True, slots=True, order=True)
class ServiceValue:
    """A Service. ``cluster_ips`` are empty for a headless one; ``selector`` and ``ports`` are sorted.

    Without a selector only ``default/kubernetes``, which leads to the API server, means anything here.
    """

    namespace: str
    name: str
    cluster_ips: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class EndpointValue:
    """One pod behind a Service, as an EndpointSlice says it. ``ready`` is its condition, true where it has none."""

    pod: str
    address: str
    ready: bool = True


@dataclass(frozen=True, eq=False)
class Mesh:
    """A snapshot of everything that shapes the configuration of any proxy.

    ``world`` must not be a live view of a cache if the snapshot outlives a turn of the event loop. ``services`` maps
    namespace to Services sorted by name; ``endpoints`` maps (namespace, Service) to the endpoints of all its slices.
    A Service that is no key there has not been told of yet: its pods are then those that its selector matches, all
    taken as ready. ``kept`` holds what has been worked out for all proxies together: nobody but its makers reads it.
    """

    world: World
    effective: Callable[[str], EffectivePolicy]
    services: Mapping[str, tuple[ServiceValue, ...]] = field(default_factory=dict)
    endpoints: Mapping[tuple[str, str], tuple[EndpointValue, ...]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict, repr=False)
