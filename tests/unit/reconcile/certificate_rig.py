"""The CA and the certificates on a cluster in memory, with whatever else they reach out to."""

import asyncio
import base64
import copy
import itertools
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from ringfence import api
from ringfence.model.ca import CaState
from ringfence.model.errors import RingfenceError
from ringfence.model.resources import ClusterSecurityPolicy, ServiceIdentity
from ringfence.model.world import Workload
from ringfence.pki import rotation, store
from ringfence.reconcile.ca import CaKeeper, CaOptions
from ringfence.reconcile.ca_sight import CaListers
from ringfence.reconcile.certificates import CertificateListers, Certificates, Certified, Subject
from ringfence.reconcile.issuing import Issuer
from ringfence.reconcile.means import Means
from ringfence.reconcile.trust_bundle import ClusterTrust

from tests.unit.pki import material
from tests.unit.reconcile import fakes

OWN = "ringfence-system"
DOMAIN = material.TRUST_DOMAIN
TIMING = rotation.Timing(propagation=60, reissue_within=0, longest_life=3600)


class FakeMeter:
    """Fulfils meter.Meter: remembers all that it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def issued(self, reason: str) -> None:
        self.heard.append(("issued", str(reason)))

    def failed(self, reason: str) -> None:
        self.heard.append(("failed", reason))

    def holds(self, namespace: str, certificates: Mapping[str, Any]) -> None:
        self.heard.append(("holds", namespace, dict(certificates)))

    def ca(self, state: CaState | None, problem: str) -> None:
        self.heard.append(("ca", state and state.phase, problem))

    def rotation(self, waiting_for: int) -> None:
        self.heard.append(("rotation", waiting_for))

    def bundle_failed(self, kind: str) -> None:
        self.heard.append(("bundle failed", kind))


class FakeSecretCaches:
    """Fulfils live.SecretCaches over the Secrets of a FakeCluster that have Ringfence's label."""

    def __init__(self, cluster: fakes.FakeCluster) -> None:
        self._cluster = cluster
        self.opened: dict[str, _Labelled] = {}
        self.error: RingfenceError | None = None

    async def open(self, namespace: str) -> "_Labelled":
        if self.error is not None:
            raise self.error
        return self.opened.setdefault(namespace, _Labelled(self._cluster, namespace))

    def close(self, namespace: str) -> None:
        self.opened.pop(namespace, None)

    def all(self) -> Mapping[str, "_Labelled"]:
        return self.opened


class _Labelled(fakes.FakeLister):
    """The Secrets of one namespace that carry the label which the watch selects by."""

    def __init__(self, cluster: fakes.FakeCluster, namespace: str) -> None:
        super().__init__(cluster, "Secret")
        self._namespace = namespace

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        held = super().get(namespace, name)
        return held if held is not None and self._selected(held) else None

    def list(self, namespace: str | None = None) -> "list[dict[str, Any]]":
        return [each for each in super().list(self._namespace) if self._selected(each)]

    def _selected(self, obj: dict[str, Any]) -> bool:
        return bool((obj["metadata"].get("labels") or {}).get("ringfence.dev/purpose") == "identity")


class FakeClusterBundles:
    """Fulfils live.ClusterBundles; ``served`` is the apiVersion, "" for none."""

    def __init__(self, cluster: fakes.FakeCluster, served: str = "") -> None:
        self._lister = cluster.lister("ClusterTrustBundle")
        self.served = served
        self.error: RingfenceError | None = None

    async def open(self, name: str) -> tuple[str, fakes.FakeLister] | None:
        assert name == "ringfence.dev:identity:root"
        if self.error is not None:
            raise self.error
        return (self.served, self._lister) if self.served else None


class Blind(fakes.FakeLister):
    """A cache that has never heard of anything."""

    def get(self, namespace: str, name: str) -> None:
        return None


class Rig:
    """``restart`` forgets everything that is not in the cluster."""

    def __init__(self, served: str = "") -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        self.clock.seconds = float(material.NOW)
        self.enrolled: set[str] = set()
        self.fetch_error: RingfenceError | None = None
        self.restart(served)

    def restart(self, served: str = "", *, blind: bool = False) -> None:
        self.events, self.meter = fakes.FakeEvents(), FakeMeter()
        self.secrets, self.bundles = FakeSecretCaches(self.cluster), FakeClusterBundles(self.cluster, served)
        self.means = Means(self.cluster, self.events, self.clock, self.clock)
        self.changes: list[str] = []
        self.due: list[tuple[str, float | None]] = []
        lister = Blind(self.cluster, "Secret") if blind else self.cluster.lister("Secret")
        listers = CaListers(
            secret=lister,
            bundles=Blind(self.cluster, "ConfigMap") if blind else self.cluster.lister("ConfigMap"),
            namespaces=self.cluster.lister("Namespace"),
            secrets=self.secrets,
            enrolled=lambda name: name in self.enrolled,
        )
        serials = itertools.count(1 << 100)
        self.ca = CaKeeper(
            listers,
            CaOptions(OWN, DOMAIN, timing=TIMING, max_ttl=TIMING.longest_life),
            self.means,
            self.fetch,
            lambda: next(serials),
            self.meter,
            trust=ClusterTrust(self.bundles, self.means, self.meter),
        )
        self.ca.changed = lambda: self.changes.append("ca")
        self.keys: list[str] = []
        self.issuer = Issuer(
            self.ca, self.means, self.fetch, lambda: next(serials), self.meter, make_key=self._make_key
        )
        self.certificates = Certificates(
            CertificateListers(
                bundles=self.cluster.lister("ConfigMap"),
                bindings=self.cluster.lister("RoleBinding"),
                services=self.cluster.lister("Service"),
                secrets=self.secrets,
            ),
            self.ca,
            self.means,
            self.issuer,
            self.meter,
        )
        self.certificates.due = lambda namespace, moment: self.due.append((namespace, moment))

    def _make_key(self, algorithm: Any) -> Any:
        self.keys.append(str(algorithm))
        return material.key(algorithm)

    async def fetch(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        if self.fetch_error is not None:
            raise self.fetch_error
        return self.cluster.find(kind, namespace, name)

    # --- the CA -------------------------------------------------------------------------------------------------------

    def look(self) -> float:
        """One look at the CA; seconds until the next one is wanted."""
        return run(self.ca.reconcile()) - self.clock.seconds

    def install(self) -> CaState:
        """Have a CA there and in use."""
        self.look()
        self.cluster.writes.clear()
        self.meter.heard.clear()
        self.changes.clear()
        assert self.ca.state is not None
        return self.ca.state

    @property
    def secret(self) -> dict[str, Any]:
        """The CA's Secret."""
        held = self.cluster.find("Secret", OWN, store.SECRET_NAME)
        assert held is not None
        return held

    def alter(self, **changes: Any) -> None:
        """Change the CA's Secret as somebody else would: ``data`` and ``annotations`` are merged, others replaced."""
        held = copy.deepcopy(self.secret)
        annotations = changes.pop("annotations", {})
        held["metadata"].setdefault("annotations", {}).update(annotations)
        held["data"] = {**held["data"], **changes.pop("data", {})}
        self.cluster.put({**held, **changes})

    def ask(self, how: str) -> None:
        self.alter(annotations={"ringfence.dev/rotate": how})

    # --- certificates -------------------------------------------------------------------------------------------------

    def enrol(self, namespace: str = "shop") -> None:
        self.enrolled.add(namespace)
        self.cluster.put(fakes.namespace(namespace, "enforce"))

    def want(self, name: str = "payments", namespace: str = "shop", **wanted: Any) -> ServiceIdentity:
        """An identity that wants a Secret; fields of spec.certificate, and ``serviceAccountName``."""
        account = wanted.pop("serviceAccountName", name)
        certificate = {"secretName": f"{account}-identity", "ttl": "1h", **wanted}
        obj = fakes.identity(namespace, name, serviceAccountName=account, certificate=certificate)
        self.cluster.put(obj)
        parsed = api.parse(obj)
        assert isinstance(parsed, ServiceIdentity)
        return parsed

    def certify(
        self,
        *identities: ServiceIdentity | str,
        namespace: str = "shop",
        pods: tuple[Workload, ...] = (),
        policies: tuple[ClusterSecurityPolicy, ...] = (),
        enrolled: bool = True,
    ) -> Certified:
        """One reconcile of the namespace; a name alone stands for an identity that was never understood."""
        seen: list[tuple[Any, ServiceIdentity | None]] = []
        for each in identities:
            name = each if isinstance(each, str) else each.meta.name
            obj = self.cluster.find("ServiceIdentity", namespace, name)
            assert obj is not None
            seen.append((obj, None if isinstance(each, str) else each))
        return run(self._certify(Subject(namespace, enrolled, seen, pods, policies)))

    async def _certify(self, subject: Subject) -> Certified:
        """In the order in which the namespace's reconciler asks."""
        if subject.enrolled:
            try:
                await self.certificates.publish(subject.namespace)
            except RingfenceError as error:
                subject = replace(subject, unpublished=error)
        return await self.certificates.reconcile(subject)

    def identity_secret(self, name: str = "payments-identity", namespace: str = "shop") -> dict[str, Any]:
        held = self.cluster.find("Secret", namespace, name)
        assert held is not None
        return held


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def text(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def grant(*names: str, namespace: str = "shop", identity: str = "payments") -> ClusterSecurityPolicy:
    """A ClusterSecurityPolicy that grants DNS names to one identity."""
    body = fakes.cluster_policy(
        "grants", grants=[{"namespace": namespace, "identities": [identity], "dnsNames": list(names)}]
    )
    parsed = api.parse(body)
    assert isinstance(parsed, ClusterSecurityPolicy)
    return parsed
