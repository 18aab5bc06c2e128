"""A cluster in memory that fulfils the ports: what is applied is there, and can be listed."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from ringfence.model.errors import RingfenceError
from ringfence.model.names import API_VERSION, LABEL_ENROLL, LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.reconcile import gather
from ringfence.reconcile.means import Means


class FakeClock:
    """Stands still unless moved."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


class FakeCluster:
    """Objects by (kind, namespace, name), with just enough of an API server's manners."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        #: Every write, as (verb, kind, name).
        self.writes: list[tuple[str, str, str]] = []
        #: (verb, kind, name) to the error that the write gets.
        self.errors: dict[tuple[str, str, str], RingfenceError] = {}
        #: What the server adds to objects that are applied, by (kind, name): a stranger's fields.
        self.additions: dict[tuple[str, str], dict[str, Any]] = {}
        self._versions = itertools.count(1)

    def put(self, *objects: Mapping[str, Any]) -> None:
        """Have these there, as if somebody else had written them."""
        for obj in objects:
            held = self.objects.get(self._key(obj), {})
            status = {"status": held["status"]} if "status" in held else {}
            self._store({**status, **obj})

    def lister(self, kind: str) -> "FakeLister":
        return FakeLister(self, kind)

    def find(self, kind: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self.objects.get((kind, namespace, name))

    def names(self, kind: str, namespace: str = "") -> list[str]:
        return sorted(name for each, where, name in self.objects if (each, where) == (kind, namespace))

    async def apply(self, obj: Mapping[str, Any], *, subresource: str = "") -> Mapping[str, Any]:
        self._write("apply" if not subresource else f"apply {subresource}", obj)
        key = self._key(obj)
        if subresource:
            held = self.objects[key]
            return self._store({**held, "status": obj.get("status", {})})
        addition = self.additions.get((key[0], key[2]), {})
        spec = {"spec": {**obj["spec"], **addition}} if addition else {}
        return self._store({**self.objects.get(key, {}), **obj, **spec})

    async def create(self, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        self._write("create", obj)
        if self._key(obj) in self.objects:
            raise RingfenceError("already exists")
        return self._store(dict(obj))

    async def replace(self, obj: Mapping[str, Any]) -> Mapping[str, Any]:
        self._write("replace", obj)
        held = self.objects[self._key(obj)]
        if obj["metadata"]["resourceVersion"] != held["metadata"]["resourceVersion"]:
            raise RingfenceError("conflict")
        return self._store(dict(obj))

    async def delete(self, api_version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> None:
        self._write("delete", {"kind": kind, "metadata": {"name": name}})
        held = self.objects.get((kind, namespace, name))
        if held is not None and uid in {"", held["metadata"]["uid"]}:
            del self.objects[kind, namespace, name]

    def _write(self, verb: str, obj: Mapping[str, Any]) -> None:
        what = (verb, obj["kind"], obj["metadata"]["name"])
        self.writes.append(what)
        if what in self.errors:
            raise self.errors[what]

    def _key(self, obj: Mapping[str, Any]) -> tuple[str, str, str]:
        return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]

    def _store(self, obj: dict[str, Any]) -> dict[str, Any]:
        key = self._key(obj)
        held = self.objects.get(key, {}).get("metadata", {})
        generation = held.get("generation", 0) + (self.objects.get(key, {}).get("spec") != obj.get("spec"))
        version = str(next(self._versions))
        metadata = {"uid": f"uid-{version}", **held, **obj["metadata"]}
        metadata.update(resourceVersion=version, generation=generation or 1)
        self.objects[key] = {**obj, "metadata": metadata}
        return self.objects[key]


class FakeLister:
    """Fulfils ports.Lister."""

    synced = True

    def __init__(self, cluster: FakeCluster, kind: str) -> None:
        self._cluster = cluster
        self._kind = kind

    def stale_for(self, monotonic: float) -> float:
        return 0.0

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        return self._cluster.find(self._kind, namespace, name)

    def list(self, namespace: str | None = None) -> "list[dict[str, Any]]":
        found = [
            (key[1:], obj)
            for key, obj in self._cluster.objects.items()
            if key[0] == self._kind and namespace in {None, key[1]}
        ]
        return [obj for _, obj in sorted(found, key=lambda pair: pair[0])]


class FakeEvents:
    """Fulfils ports.EventSink: remembers (type, kind, name, reason)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, str]] = []

    async def emit(self, regarding: Mapping[str, Any], *, type_: str, reason: str, action: str, note: str) -> None:
        assert action
        assert note
        self.told.append((type_, regarding["kind"], regarding["metadata"]["name"], reason))


def means(cluster: FakeCluster, events: FakeEvents | None = None, clock: FakeClock | None = None) -> Means:
    clock = clock or FakeClock()
    return Means(cluster, events or FakeEvents(), clock, clock)


def listers(cluster: FakeCluster) -> gather.Listers:
    return gather.Listers(
        namespaces=cluster.lister("Namespace"),
        identities=cluster.lister("ServiceIdentity"),
        policies=cluster.lister("SecurityPolicy"),
        cluster_policies=cluster.lister("ClusterSecurityPolicy"),
        pods=cluster.lister("Pod"),
        network_policies=cluster.lister("NetworkPolicy"),
    )


def namespace(name: str, enroll: str = "", **labels: str) -> dict[str, Any]:
    chosen = {LABEL_NAMESPACE_NAME: name, **labels, **({LABEL_ENROLL: enroll} if enroll else {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": chosen}}


def identity(where: str, name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ServiceIdentity",
        "metadata": {"name": name, "namespace": where},
        "spec": spec,
    }


def policy(where: str, name: str, callers: Iterable[tuple[str, str]], **spec: Any) -> dict[str, Any]:
    """Lets identities (namespace, name) call the pods of the identity that has the policy's name."""
    rules = [
        {"name": f"from-{caller}", "from": [{"identity": {"namespace": home, "name": caller}}], "ports": [8080]}
        for home, caller in callers
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "SecurityPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": {"appliesTo": {"identities": [name]}, "ingress": rules, **spec},
    }


def cluster_policy(name: str, **spec: Any) -> dict[str, Any]:
    deny = {"name": "no-telnet", "action": "Deny", "ports": [23]}
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterSecurityPolicy",
        "metadata": {"name": name},
        "spec": {"namespaceSelector": {}, "ingress": [deny], **spec},
    }


def pod(where: str, name: str, account: str = "", phase: str = "Running", **spec: Any) -> dict[str, Any]:
    """With an account it is labelled as admission labels it; without, it is from before enrolment."""
    labels = {LABEL_IDENTITY: account} if account else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {"serviceAccountName": account or "default", **spec},
        "status": {"phase": phase},
    }


def condition(obj: Mapping[str, Any] | None, type_: str = "Ready") -> dict[str, Any]:
    """The condition of that type; empty when there is none."""
    found = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((each for each in found if each["type"] == type_), {})
