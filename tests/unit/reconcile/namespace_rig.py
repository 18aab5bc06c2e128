"""A reconciler of namespaces on a cluster in memory, and a namespace to reconcile."""

import asyncio
from typing import Any

from ringfence import api
from ringfence.model.world import Installation
from ringfence.policy import resolve
from ringfence.reconcile import endpoints, gather
from ringfence.reconcile.namespaces import Beside, NamespaceReconciler
from ringfence.translate import network_policy
from ringfence.translate.admission_policy import CONDITION_ENFORCED

from tests.unit.reconcile import fakes
from tests.unit.reconcile.fakes import FakeCluster, condition

ALLOW = "ringfence-policy-payments-ingress"


class Rig:
    """A reconciler on a cluster in memory."""

    def __init__(self, cluster: FakeCluster | None = None, *, proxies: bool = False) -> None:
        self.cluster = cluster or FakeCluster()
        self.proxies = proxies
        #: Names of the namespace's policies in a network's own kinds.
        self.foreign: list[str] = []
        self.clock = fakes.FakeClock()
        self.restart()

    def restart(self) -> None:
        """Forget everything that is not in the cluster."""
        self.events = fakes.FakeEvents()
        listers = fakes.listers(self.cluster)
        self.gatherer = gather.Gatherer(listers, api.parse, lambda: Installation(proxies=self.proxies))
        self.reconciler = NamespaceReconciler(
            listers,
            self.gatherer,
            fakes.means(self.cluster, self.events, self.clock),
            resolve=resolve.resolve,
            translate=network_policy.objects,
            beside=Beside(
                services=lambda name: endpoints.services(self.cluster.lister("Service").list(name)),
                foreign=lambda _: self.foreign,
            ),
        )

    def reconcile(self, name: str = "shop") -> None:
        asyncio.run(self.reconciler.reconcile(name))

    @property
    def network_policies(self) -> list[str]:
        return self.cluster.names("NetworkPolicy", "shop")

    def enforced(self) -> dict[str, Any]:
        return condition(self.cluster.find("Namespace", "", "shop"), CONDITION_ENFORCED)

    def ready(self, kind: str, name: str) -> dict[str, Any]:
        return condition(self.cluster.find(kind, "shop", name))


def shop(enroll: str = "enforce") -> Rig:
    rig = Rig()
    rig.cluster.put(
        fakes.namespace("shop", enroll),
        fakes.identity("shop", "payments"),
        fakes.identity("shop", "checkout"),
        fakes.policy("shop", "payments", [("shop", "checkout")]),
    )
    return rig
