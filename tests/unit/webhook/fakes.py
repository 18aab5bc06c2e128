"""Fakes at the ports: a cluster made of a list of objects, for tests of the webhook."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ringfence import api
from ringfence.inject.injection import Injection
from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.model.signatures import Wanted
from ringfence.model.world import Enrolment, Installation, World
from ringfence.policy import resolve
from ringfence.reconcile import gather
from ringfence.webhook.answering import Answering
from ringfence.webhook.cache import CachedView, NoPods
from ringfence.webhook.live import Learner
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.view import Missing, Rules

NOW = 1_800_000_000.0
EXEMPT = frozenset({"kube-system", "kube-public", "kube-node-lease", "ringfence-system"})
CONTROLLER = "system:serviceaccount:ringfence-system:ringfence-controller"


class FakeLister:
    """Fulfils ports.Lister."""

    def __init__(self, objects: Sequence[Object] = ()) -> None:
        self.objects = {(each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects}
        self.synced = True
        self.stale = 0.0

    def stale_for(self, monotonic: float) -> float:
        del monotonic
        return self.stale

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        return [each for key, each in sorted(self.objects.items()) if namespace is None or key[0] == namespace]


class FakeCluster:
    """Objects by kind, the cache over them, and a live read that may know more or fail."""

    def __init__(
        self, objects: Sequence[Object], live: Sequence[Object] = (), installation: Installation | None = None
    ) -> None:
        def of(kind: str) -> FakeLister:
            return FakeLister([each for each in objects if each["kind"] == kind])

        self.namespaces, self.network_policies = of("Namespace"), of("NetworkPolicy")
        self.policies, self.identities = of("SecurityPolicy"), of("ServiceIdentity")
        self.cluster_policies = of("ClusterSecurityPolicy")
        self.live = {
            (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in live
        }
        self.reads: list[Missing] = []
        self.unreachable = False
        self.hangs = False
        #: Seconds that the last read had.
        self.patience = 0.0
        self.broken: Exception | None = None
        made = installation or Installation()
        listers = gather.Listers(
            namespaces=self.namespaces,
            identities=self.identities,
            policies=self.policies,
            cluster_policies=self.cluster_policies,
            pods=NoPods(),
            network_policies=self.network_policies,
        )
        self.gatherer = gather.Gatherer(listers, api.parse, lambda: made)
        self.view = CachedView(
            self.gatherer, self.namespaces, self.network_policies, self._resolve, EXEMPT, of("ImageVerdict")
        )
        self.wanted: list[Wanted] = []
        self.metrics = Metrics()

    def answering(self, default_enrolment: Enrolment = Enrolment.NONE, proxy: Injection | None = None) -> Answering:
        rules = Rules(CONTROLLER, EXEMPT, default_enrolment, proxy)
        learner = Learner(self.read, EXEMPT)
        return Answering(self.view, rules, learner, self.metrics, lambda: NOW, want=self.wanted.extend)

    def _resolve(self, world: World, namespace: str) -> EffectivePolicy:
        if self.broken is not None:
            raise self.broken
        return resolve.resolve(world, namespace)

    async def read(self, missing: Missing, seconds: float) -> Object | None:
        self.reads.append(missing)
        self.patience = seconds
        if self.hangs:
            await asyncio.sleep(seconds + 60)
        if self.unreachable:
            raise RingfenceError("connection refused")
        return self.live.get((missing.kind, missing.namespace, missing.name))


def namespace(name: str, enroll: str = "", *, enforced: str = "", **labels: str) -> dict[str, Any]:
    """A Namespace; ``enforced`` is the status of Ringfence's condition."""
    wanted = {"kubernetes.io/metadata.name": name, **labels, **({"ringfence.dev/enroll": enroll} if enroll else {})}
    obj: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": wanted}}
    if enforced:
        obj["status"] = {"conditions": [{"type": "ringfence.dev/Enforced", "status": enforced}]}
    return obj


def identity(namespace: str, name: str, **spec: Any) -> dict[str, Any]:
    return _own("ServiceIdentity", {"name": name, "namespace": namespace}, spec)


def floor(name: str, level: str, **spec: Any) -> dict[str, Any]:
    given = {"namespaceSelector": {}, "admission": {"podSecurity": level}, **spec}
    return _own("ClusterSecurityPolicy", {"name": name}, given)


def _own(kind: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": dict(metadata), "spec": dict(spec)}


def default_deny(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "ringfence-default-deny",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "ringfence"},
        },
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def shop(*more: Object) -> list[Object]:
    """An enforced, closed namespace `shop` with identities for `default` and `payments`."""
    return [
        namespace("shop", "enforce", enforced="True"),
        default_deny("shop"),
        identity("shop", "default"),
        identity("shop", "payments"),
        *more,
    ]
