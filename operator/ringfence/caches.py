"""Caches of what a process reads: each names those that it needs and gets one value whose freshness it can ask for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from ringfence.kube import client, resources, trim, watch
from ringfence.kube.clock import SystemClock
from ringfence.model.acknowledgements import PURPOSE as PURPOSE_REPORTS
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Clock
from ringfence.pki import store
from ringfence.reconcile import secret_access
from ringfence.reconcile.serving import CA_SECRET, LEAF_SECRET, PROXYD_SECRET


@dataclass(frozen=True)
class Caches:
    """Named Reflectors of one process. Run them with ``running()``; they are read and written in one event loop."""

    reflectors: dict[str, watch.Reflector] = field(default_factory=dict)

    def __getitem__(self, name: str) -> watch.Reflector:
        return self.reflectors[name]

    def __iter__(self) -> Iterator[watch.Reflector]:
        return iter(self.reflectors.values())

    @property
    def synced(self) -> bool:
        """Whether every first list is complete."""
        return all(reflector.synced for reflector in self)

    def stale_for(self, monotonic: float) -> float:
        """Seconds since the API server was last heard of on the worst of the watches; 0 while all are healthy."""
        return max((reflector.stale_for(monotonic) for reflector in self), default=0.0)

    def troubles(self) -> dict[str, str]:
        """What is wrong, by name; empty while all is well."""
        return {name: each.trouble for name, each in self.reflectors.items() if each.trouble}

    async def wait_synced(self) -> None:
        """Return once every first list is complete."""
        await asyncio.gather(*(reflector.wait_synced() for reflector in self))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Keep every cache true while the block runs; a defect in one ends the block with its exception."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run(), name=f"watch {name}") for name, each in self.reflectors.items()]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()


#: What each cache holds, and what of it is kept.
KINDS: Final[dict[str, tuple[resources.Resource, trim.Trim]]] = {
    "namespaces": (resources.NAMESPACES, trim.without_noise),
    "pods": (resources.PODS, trim.pod),
    "network_policies": (resources.NETWORK_POLICIES, trim.without_noise),
    "identities": (resources.SERVICE_IDENTITIES, trim.without_noise),
    "policies": (resources.SECURITY_POLICIES, trim.without_noise),
    "cluster_policies": (resources.CLUSTER_SECURITY_POLICIES, trim.without_noise),
    "endpoint_slices": (resources.ENDPOINT_SLICES, trim.without_noise),
    "mutating_webhooks": (resources.MUTATING_WEBHOOKS, trim.without_noise),
    "validating_webhooks": (resources.VALIDATING_WEBHOOKS, trim.without_noise),
    "admission_policies": (resources.ADMISSION_POLICIES, trim.without_noise),
    "admission_policy_bindings": (resources.ADMISSION_POLICY_BINDINGS, trim.without_noise),
    "serving_ca": (resources.SECRETS, trim.without_noise),
    "serving": (resources.SECRETS, trim.without_noise),
    "ca": (resources.SECRETS, trim.without_noise),
    "bundles": (resources.CONFIG_MAPS, trim.without_noise),
    "bindings": (resources.ROLE_BINDINGS, trim.without_noise),
    "services": (resources.SERVICES, trim.service),
    "verdicts": (resources.IMAGE_VERDICTS, trim.without_noise),
    "mesh_pods": (resources.PODS, trim.mesh_pod),
    "mesh_services": (resources.SERVICES, trim.mesh_service),
    "mesh_slices": (resources.ENDPOINT_SLICES, trim.mesh_slice),
    "ca_marker": (resources.CONFIG_MAPS, trim.without_noise),
    "proxyd_serving": (resources.SECRETS, trim.without_noise),
    "reports": (resources.CONFIG_MAPS, trim.without_noise),
}
_OWN: Final = watch.Selection(labels=f"{LABEL_MANAGED_BY}={MANAGED_BY}")


def make(
    api: client.Client,
    names: tuple[str, ...],
    *,
    own_namespace: str,
    timing: watch.Timing | None = None,
    clock: Clock | None = None,
) -> Caches:
    """Caches of these names, not yet running. KeyError for an unknown name.

    ``namespaces``, ``pods`` (trimmed), ``network_policies``, ``identities``, ``policies``, ``cluster_policies`` and
    ``verdicts`` hold all of the cluster; ``endpoint_slices`` those of the API server; the four kinds of admission
    configuration what Ringfence manages; ``serving_ca``, ``serving`` and ``ca`` one Secret each of the own namespace;
    ``services`` all of them (trimmed), ``bundles`` and ``bindings`` those ConfigMaps and RoleBindings that have
    Ringfence's names. Of proxyd alone are ``mesh_pods``, ``mesh_services`` and ``mesh_slices``, which keep more, and
    ``ca_marker``; ``proxyd_serving`` is its Secret, ``reports`` what its replicas say of their proxies.
    """
    selections = {
        "endpoint_slices": watch.Selection("default", labels="kubernetes.io/service-name=kubernetes"),
        "mutating_webhooks": _OWN,
        "validating_webhooks": _OWN,
        "admission_policies": _OWN,
        "admission_policy_bindings": _OWN,
        "serving_ca": watch.Selection(own_namespace, fields=f"metadata.name={CA_SECRET}"),
        "serving": watch.Selection(own_namespace, fields=f"metadata.name={LEAF_SECRET}"),
        "ca": watch.Selection(own_namespace, fields=f"metadata.name={store.SECRET_NAME}"),
        "bundles": watch.Selection(fields=f"metadata.name={store.MARKER_NAME}"),
        "bindings": watch.Selection(fields=f"metadata.name={secret_access.SECRETS_BINDING}"),
        "ca_marker": watch.Selection(own_namespace, fields=f"metadata.name={store.MARKER_NAME}"),
        "proxyd_serving": watch.Selection(own_namespace, fields=f"metadata.name={PROXYD_SECRET}"),
        "reports": watch.Selection(own_namespace, labels=f"{LABEL_PURPOSE}={PURPOSE_REPORTS}"),
    }
    made = {}
    for name in names:
        resource, keep = KINDS[name]
        made[name] = watch.Reflector(
            api,
            resource,
            selections.get(name, watch.Selection()),
            trim=keep,
            timing=timing or watch.Timing(),
            clock=clock or SystemClock(),
        )
    return Caches(made)


#: What proxyd reads.
PROXYD: Final = (
    "namespaces",
    "network_policies",
    "identities",
    "policies",
    "cluster_policies",
    "endpoint_slices",
    "mesh_pods",
    "mesh_services",
    "mesh_slices",
    "ca",
    "ca_marker",
    "proxyd_serving",
)
#: What the controller reads beside that where there are proxies.
CONTROLLER_PROXIES: Final = ("proxyd_serving", "reports")
#: What the controller reads.
CONTROLLER: Final = tuple(
    name
    for name in KINDS
    if name not in {"mesh_pods", "mesh_services", "mesh_slices", "ca_marker", *CONTROLLER_PROXIES}
)
