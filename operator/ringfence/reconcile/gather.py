"""The caches as a World: parsed once for each version of a resource, read without copying.

A resource that cannot be understood (written while the webhook was away, or under a looser schema) must neither stop
the others nor silently change what is in force: its last good version stays, as long as this process lives, and the
error becomes a finding. With no last good version nobody can say what it denies, so what it may govern is undecided:
the controller leaves the network there as it is, and the webhook admits nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from ringfence.api.v1alpha1 import selectors
from ringfence.model import proxy
from ringfence.model.errors import InvalidResource
from ringfence.model.ports import Lister, Object
from ringfence.model.resources import ClusterSecurityPolicy, Kind, Protocol, SecurityPolicy, ServiceIdentity
from ringfence.model.world import ContainerPort, Installation, Namespace, Workload, World
from ringfence.reconcile import plan, staging
from ringfence.translate.network_policy import PURPOSE

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Listers:
    """The caches that a World is made of."""

    namespaces: Lister
    identities: Lister
    policies: Lister
    cluster_policies: Lister
    pods: Lister
    network_policies: Lister


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A resource that this process has never been able to understand."""

    kind: str
    name: str
    error: InvalidResource


class _Nothing:
    """A Lister of what this process does not look at."""

    synced = True

    def stale_for(self, monotonic: float) -> float:
        return 0.0

    def get(self, namespace: str, name: str) -> Object | None:
        return None

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        return ()


#: The EndpointSlice, in the namespace ``default``, that API servers keep.
API_SERVER_SLICE: Final = "kubernetes"

NOTHING: Lister = _Nothing()


@dataclass(slots=True)
class _Entry(Generic[T]):
    """What is known of one resource: the version that was parsed last, its error, and the last good value."""

    version: tuple[Any, ...]
    error: InvalidResource | None
    good: T | None


class Parsed(Generic[T]):
    """The resources of one Lister as values."""

    def __init__(self, lister: Lister, parse: Callable[[Object], T]) -> None:
        self._lister = lister
        self._parse = parse
        self._entries: dict[str, dict[str, _Entry[T]]] = {}

    def of(self, namespace: str) -> tuple[T, ...]:
        """Those of a namespace ("" for cluster-scoped kinds), by name; invalid ones in their last good version."""
        held = self._entries.get(namespace, {})
        entries = {obj["metadata"]["name"]: self._entry(obj, held) for obj in self._lister.list(namespace)}
        if entries:
            self._entries[namespace] = entries
        else:
            self._entries.pop(namespace, None)
        return tuple(entry.good for entry in entries.values() if entry.good is not None)

    def get(self, namespace: str, name: str) -> T | None:
        """The resource of that name; None when there is none, or none that was ever understood."""
        obj = self._lister.get(namespace, name)
        if obj is None:
            return None
        held = self._entries.setdefault(namespace, {})
        held[name] = entry = self._entry(obj, held)
        return entry.good

    def errors(self, namespace: str) -> tuple[tuple[Object, InvalidResource], ...]:
        """The objects that cannot be understood as they are now, with the reason, by name."""
        self.of(namespace)
        entries = self._entries.get(namespace, {})
        found = []
        for obj in self._lister.list(namespace):
            entry = entries.get(obj["metadata"]["name"])
            if entry is not None and entry.error is not None:
                found.append((obj, entry.error))
        return tuple(found)

    def forget(self, namespace: str) -> None:
        """The namespace is gone, and with it what was last good there."""
        self._entries.pop(namespace, None)

    def in_force(self, namespace: str, name: str) -> bool:
        """Whether some version of the resource, the present or a former one, is in force."""
        entry = self._entries.get(namespace, {}).get(name)
        return entry is not None and entry.good is not None

    def _entry(self, obj: Object, held: dict[str, _Entry[T]]) -> _Entry[T]:
        version = _version(obj)
        before = held.get(obj["metadata"]["name"])
        if before is not None and before.version == version:
            return before
        try:
            return _Entry(version, None, self._parse(obj))
        except InvalidResource as error:
            same = before is not None and before.version[0] == version[0]
            return _Entry(version, error, before.good if before is not None and same else None)


def _version(obj: Object) -> tuple[Any, ...]:
    """What changes when the meaning may have: a write to status alone does not count (generation stays)."""
    metadata = obj["metadata"]
    generation = metadata.get("generation")
    return metadata.get("uid", ""), generation if generation is not None else metadata.get("resourceVersion")


class Gatherer:
    """Makes Worlds. Each ``world()`` is a view of the caches as they are now: use it within one turn of the loop."""

    def __init__(
        self,
        listers: Listers,
        parse: Callable[[Object], ServiceIdentity | SecurityPolicy | ClusterSecurityPolicy],
        installation: Callable[[], Installation],
    ) -> None:
        self._listers = listers
        self._installation = installation
        self.identities: Parsed[ServiceIdentity] = Parsed(listers.identities, _only(ServiceIdentity, parse))
        self.policies: Parsed[SecurityPolicy] = Parsed(listers.policies, _only(SecurityPolicy, parse))
        self.cluster_policies: Parsed[ClusterSecurityPolicy] = Parsed(
            listers.cluster_policies, _only(ClusterSecurityPolicy, parse)
        )

    def world(self) -> World:
        """Everything that resolve reads."""
        namespaces = self._listers.namespaces
        return World(
            installation=self._installation(),
            namespaces=_View(self._namespace, lambda: (obj["metadata"]["name"] for obj in namespaces.list())),
            identities=_View(self._identities_of, self._namespace_names),
            policies=_View(self.policies.of, self._namespace_names),
            cluster_policies=self.cluster_policies.of(""),
            workloads=_View(self.workloads_of, self._namespace_names),
            strangers=_View(self.strangers_in, self._namespace_names),
        )

    def forget(self, namespace: str) -> None:
        """The namespace is gone: one that comes with its name starts with nothing."""
        self.identities.forget(namespace)
        self.policies.forget(namespace)

    def workloads_of(self, namespace: str) -> tuple[Workload, ...]:
        """The pods of a namespace, by name."""
        return tuple(workload(obj) for obj in self._listers.pods.list(namespace))

    def pod(self, namespace: str, name: str) -> Object | None:
        """The pod as the caches hold it."""
        return self._listers.pods.get(namespace, name)

    def strangers_in(self, namespace: str) -> tuple[str, ...]:
        """Names of a namespace's NetworkPolicies that are not Ringfence's, sorted."""
        found = self._listers.network_policies.list(namespace)
        return tuple(each["metadata"]["name"] for each in found if not plan.owned(each, PURPOSE))

    def undecided(self, namespace: str) -> tuple[NotUnderstood, ...]:
        """Resources that may govern the namespace and were never understood: with any, nobody can say what holds."""
        namespaced = ((Kind.SERVICE_IDENTITY, self.identities), (Kind.SECURITY_POLICY, self.policies))
        found = [
            NotUnderstood(kind.value, obj["metadata"]["name"], error)
            for kind, parsed in namespaced
            for obj, error in parsed.errors(namespace)
            if not parsed.in_force(namespace, obj["metadata"]["name"])
        ]
        known = self.namespace(namespace)
        labels = known.labels if known is not None else {}
        found += [
            NotUnderstood(Kind.CLUSTER_SECURITY_POLICY.value, obj["metadata"]["name"], error)
            for obj, error in self.cluster_policies.errors("")
            if not self.cluster_policies.in_force("", obj["metadata"]["name"]) and _may_select(obj, labels)
        ]
        return tuple(found)

    def namespace(self, name: str) -> Namespace | None:
        """The Namespace of that name; None when there is none."""
        try:
            return self._namespace(name)
        except KeyError:
            return None

    def _namespace(self, name: str) -> Namespace:
        obj = self._listers.namespaces.get("", name)
        if obj is None:
            raise KeyError(name)
        metadata = obj["metadata"]
        return Namespace.of(
            name,
            metadata.get("labels"),
            terminating="deletionTimestamp" in metadata,
            enforced=staging.latched(obj),
        )

    def _identities_of(self, namespace: str) -> Mapping[str, ServiceIdentity]:
        def get(name: str) -> ServiceIdentity:
            found = self.identities.get(namespace, name)
            if found is None:
                raise KeyError(name)
            return found

        return _View(get, lambda: (each.meta.name for each in self.identities.of(namespace)))

    def _namespace_names(self) -> Iterator[str]:
        return (obj["metadata"]["name"] for obj in self._listers.namespaces.list())


class _View(Mapping[K, V]):
    """A Mapping that asks when it is read, and remembers the answer: one World asks each thing once."""

    def __init__(self, read: Callable[[K], V], keys: Callable[[], Iterator[K]]) -> None:
        self._read = read
        self._keys = keys
        self._answers: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        if key not in self._answers:
            self._answers[key] = self._read(key)
        return self._answers[key]

    def __iter__(self) -> Iterator[K]:
        return self._keys()

    def __len__(self) -> int:
        return sum(1 for _ in self._keys())


def workload(obj: Object) -> Workload:
    """A Pod, whole or trimmed, as a value."""
    metadata, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    return Workload(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        service_account=spec.get("serviceAccountName") or "default",
        labels=metadata.get("labels") or {},
        ips=tuple(each["ip"] for each in status.get("podIPs") or () if each.get("ip")),
        ports=tuple(
            ContainerPort(port["name"], port["containerPort"], Protocol(port.get("protocol", "TCP")))
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
            for port in container.get("ports") or ()
            if port.get("name")
        ),
        host_network=bool(spec.get("hostNetwork")),
        finished=status.get("phase") in _FINISHED,
        proxied=any(each.get("name") == proxy.CONTAINER for each in spec.get("initContainers") or ()),
        ways_past=bool(obj.get("waysPast")),
    )


def api_server_endpoints(slices: Lister) -> tuple[tuple[str, int], ...]:
    """(address, port) of the API servers, from the one EndpointSlice that they write themselves; sorted.

    Others can say of the same Service what they like, as whoever may write in the namespace ``default``.
    """
    found: set[tuple[str, int]] = set()
    for each in filter(None, [slices.get("default", API_SERVER_SLICE)]):
        ports = [port["port"] for port in each.get("ports") or () if port.get("port")]
        for endpoint in each.get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                found.update((address, port) for port in ports)
    return tuple(sorted(found))


def with_api_server(own: Installation, slices: Lister) -> Installation:
    """The installation with the API servers' addresses: those that were set, else those of default/kubernetes."""
    return own if own.api_server else replace(own, api_server=api_server_endpoints(slices))


def _may_select(obj: Object, labels: Mapping[str, str]) -> bool:
    """Whether a ClusterSecurityPolicy that cannot be understood as a whole may be meant for a namespace."""
    try:
        return selectors.box(obj["spec"]["namespaceSelector"]).matches(labels)
    except (AttributeError, KeyError, TypeError, ValueError, InvalidResource):
        return True


def _only(kind: type[T], parse: Callable[[Object], object]) -> Callable[[Object], T]:
    """``parse`` for a Lister that holds one kind."""

    def parsed(obj: Object) -> T:
        value = parse(obj)
        if not isinstance(value, kind):
            raise TypeError(f"{obj.get('kind')} was parsed as {type(value).__name__}, expected {kind.__name__}")
        return value

    return parsed
