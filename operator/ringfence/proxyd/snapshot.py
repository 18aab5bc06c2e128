"""The cluster as a frozen value: what the configuration of the proxies is made from.

Made anew for every pass; what has not changed since the last one, by namespace, is the very same value. Passes run in a
thread beside the event loop in which the caches change, so nothing in here may be a view of a cache.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from ringfence.model.effective import EffectivePolicy
from ringfence.model.mesh import EndpointValue, Mesh, ServiceValue
from ringfence.model.ports import Lister
from ringfence.model.world import World
from ringfence.policy import resolve
from ringfence.reconcile import endpoints
from ringfence.reconcile.gather import Gatherer

T = TypeVar("T")

_RESOLVING = threading.Lock()


class _ByNamespace(Generic[T]):
    """A part of the cluster by namespace, made again only where it has changed, and another only if it is."""

    def __init__(self, make: Callable[[str], T]) -> None:
        self._make = make
        self._held: dict[str, T] = {}
        self._stale: dict[str, T] = {}

    def forget(self, namespace: str) -> None:
        """It has changed there; "" means everywhere."""
        if not namespace:
            self._stale |= self._held
            self._held.clear()
        elif namespace in self._held:
            self._stale[namespace] = self._held.pop(namespace)

    def of(self, names: list[str]) -> dict[str, T]:
        """All of it, for these namespaces."""
        for name in self._held.keys() - set(names):
            del self._held[name]
        for name in names:
            if name not in self._held:
                made, before = self._make(name), self._stale.get(name)
                # Most changes of pods are of nothing that counts here; whoever compares then need not look inside.
                self._held[name] = before if before is not None and before == made else made
        self._stale.clear()
        return dict(self._held)


class Snapshots:
    """Makes Meshes. ``changed`` must be told of everything that happens to the caches."""

    def __init__(self, gatherer: Gatherer, services: Lister, slices: Lister) -> None:
        self._gatherer = gatherer
        self._parts: dict[str, _ByNamespace[Any]] = {
            "identities": _ByNamespace(lambda name: {each.meta.name: each for each in gatherer.identities.of(name)}),
            "policies": _ByNamespace(gatherer.policies.of),
            "pods": _ByNamespace(gatherer.workloads_of),
            "network_policies": _ByNamespace(gatherer.strangers_in),
            "services": _ByNamespace(lambda name: _services(services, name)),
            "endpoint_slices": _ByNamespace(lambda name: _endpoints(slices, gatherer, name)),
        }

    def changed(self, part: str, namespace: str) -> None:
        """Something of a cache (by its name) is different in a namespace; caches that are no part are ignored."""
        if part in self._parts:
            self._parts[part].forget(namespace)
        if part == "pods":
            self._parts["endpoint_slices"].forget(namespace)

    def take(self) -> Mesh:
        """The cluster now."""
        live = self._gatherer.world()
        namespaces = dict(live.namespaces)
        names = list(namespaces)
        held = {part: each.of(names) for part, each in self._parts.items()}
        world = World(
            installation=replace(live.installation),
            namespaces=namespaces,
            identities=held["identities"],
            policies=held["policies"],
            cluster_policies=live.cluster_policies,
            workloads=held["pods"],
            strangers=held["network_policies"],
        )
        behind = {
            (namespace, service): found
            for namespace, services in held["endpoint_slices"].items()
            for service, found in services.items()
        }
        return Mesh(world, _effective(world), held["services"], behind)


def _effective(world: World) -> Callable[[str], EffectivePolicy]:
    """resolve, once a namespace, for readers in several threads."""
    found: dict[str, EffectivePolicy] = {}

    def effective(namespace: str) -> EffectivePolicy:
        if namespace not in found:
            # What resolve keeps from one call to the next is not made for two at once.
            with _RESOLVING:
                found[namespace] = resolve.resolve(world, namespace)
        return found[namespace]

    return effective


def _services(lister: Lister, namespace: str) -> tuple[ServiceValue, ...]:
    return tuple(endpoints.services(lister.list(namespace)))


def _endpoints(slices: Lister, gatherer: Gatherer, namespace: str) -> dict[str, tuple[EndpointValue, ...]]:
    return endpoints.behind(slices.list(namespace), namespace, lambda name: gatherer.pod(namespace, name))
