"""proxyd's parts, put together."""

import functools
import secrets
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ringfence import api, caches
from ringfence.caches import Caches
from ringfence.kube import client, errors, resources
from ringfence.kube.clock import ApiClock, SystemClock
from ringfence.kube.token_reviews import TokenReviews
from ringfence.model.acknowledgements import NAME_PREFIX
from ringfence.model.ca import RotationReason
from ringfence.model.mesh import Mesh
from ringfence.model.names import FIELD_MANAGER
from ringfence.model.ports import Clock, Object
from ringfence.model.proxy import PROXYD_SERVICE, ProxyConfig
from ringfence.model.resources import Certificate, Kind
from ringfence.model.world import Enrolment, Installation, World
from ringfence.policy import closing
from ringfence.proxyd import metrics
from ringfence.proxyd.authentication import Authenticator
from ringfence.proxyd.classes import Classes
from ringfence.proxyd.fleet import Fleet, Sources
from ringfence.proxyd.identities import Authority, Issuer
from ringfence.proxyd.reporting import Reporter
from ringfence.proxyd.snapshot import Snapshots
from ringfence.proxyd.tls import Certificate as ServingCertificate
from ringfence.reconcile import gather
from ringfence.settings import Settings


class Compiler(Protocol):
    """The pure part: translate.envoy, or something smaller in tests."""

    def subject(self, pod: Object, mesh: Mesh) -> Hashable:
        """All of a pod that shapes its configuration."""
        ...

    def footing(self, subject: Hashable, mesh: Mesh) -> object:
        """What that rests on: as ``classes.Translator`` has it."""
        ...

    def configure(self, subject: Hashable, mesh: Mesh) -> ProxyConfig:
        """What the proxies of a class shall have."""
        ...


@dataclass(frozen=True)
class Parts:
    """What the process is made of."""

    settings: Settings
    caches: Caches
    gatherer: gather.Gatherer
    authority: Authority
    classes: Classes
    fleet: Fleet
    certificate: ServingCertificate
    reporter: Reporter


def put_together(settings: Settings, kube: client.Client, compiler: Compiler, *, clock: Clock | None = None) -> Parts:
    """Everything, connected, but not running."""
    clock = clock or SystemClock()
    own = settings.installation
    held = caches.make(kube, caches.PROXYD, own_namespace=own.namespace, clock=clock)
    gatherer = gather.Gatherer(_listers(held), api.parse, lambda: _installation(settings, held))
    authority = Authority(held["ca"], held["ca_marker"], own.namespace, own.trust_domain, clock)
    issuer = Issuer(authority, clock, lambda: secrets.randbits(126) | 1 << 126, settings.ca.max_ttl)
    fleet = Fleet(
        Authenticator(
            TokenReviews(kube),
            held["mesh_pods"],
            lambda name: _enrolled(gatherer, name),
            clock,
            own_address_only=settings.proxy.own_address_only,
        ),
        authority,
        issuer,
        Sources(
            pods=held["mesh_pods"],
            wishes=lambda namespace, account: _wishes(gatherer, namespace, account),
            stale=lambda: held.stale_for(time.monotonic()),
            hurry=lambda: authority.reason is RotationReason.COMPROMISED,
            trust_domain=own.trust_domain,
            reissue_within=settings.ca.reissue_within,
        ),
        clock,
    )
    snapshots = Snapshots(gatherer, held["mesh_services"], held["mesh_slices"])
    translator = _Translator(snapshots, compiler)
    classes = Classes(translator, fleet.deliver, metrics.PassMeter(), fleet.regroup)
    fleet.classes = classes

    def passed(mesh: object) -> None:
        if translator.settled(mesh, classes.failed):
            fleet.changed()

    classes.passed = passed
    reporter = Reporter(
        fleet,
        ApiClock(lambda: kube.ahead),
        settings.pod_name,
        own.namespace,
        write=writer(kube, own.namespace),
        read=_reader(kube, resources.CONFIG_MAPS.path(own.namespace, NAME_PREFIX + settings.pod_name)),
        generations=translator.generations,
    )
    parts = Parts(settings, held, gatherer, authority, classes, fleet, ServingCertificate(), reporter)
    _subscribe(parts, snapshots)
    return parts


class _Translator:
    """A classes.Translator over snapshots of the cluster."""

    def __init__(self, snapshots: Snapshots, compiler: Compiler) -> None:
        self._snapshots = snapshots
        self._compiler = compiler
        self._mesh: Mesh | None = None
        self._compiled: Mapping[str, int] = {}
        self._failed: frozenset[Hashable] = frozenset()

    def subject(self, pod: Object) -> Hashable:
        """As the port says; by the cluster of the last pass."""
        return self._compiler.subject(pod, self._mesh or self.snapshot())

    def snapshot(self) -> Mesh:
        """As the port says."""
        self._mesh = self._snapshots.take()
        return self._mesh

    def footing(self, subject: Hashable, mesh: object) -> object:
        """As the port says."""
        return self._compiler.footing(subject, _ours(mesh))

    def configure(self, subject: Hashable, mesh: object) -> ProxyConfig:
        """As the port says."""
        return self._compiler.configure(subject, _ours(mesh))

    def generations(self) -> Mapping[str, int]:
        """By owner, which generation of each policy is compiled: for every class, or it is not."""
        return self._compiled

    def settled(self, mesh: object, failed: frozenset[Hashable]) -> bool:
        """A pass over ``mesh`` is over; whether others are to be told, since policies or failures are others now."""
        found = _generations(mesh.world) if isinstance(mesh, Mesh) else {}
        before = self._compiled, self._failed
        self._compiled, self._failed = found, failed
        return before != (found, failed)


def _generations(world: World) -> dict[str, int]:
    found = {
        f"{Kind.SECURITY_POLICY} {each.meta.namespace}/{each.meta.name}": each.meta.generation
        for policies in world.policies.values()
        for each in policies
    }
    return found | {
        f"{Kind.CLUSTER_SECURITY_POLICY} {each.meta.name}": each.meta.generation for each in world.cluster_policies
    }


def _ours(mesh: object) -> Mesh:
    if not isinstance(mesh, Mesh):
        raise TypeError("a mesh of somebody else")
    return mesh


def writer(kube: client.Client, namespace: str) -> Callable[[Object], Awaitable[None]]:
    """Reports go with the Deployment of proxyd, by Kubernetes' garbage collection: nobody else sweeps them up when
    proxies are turned off or Ringfence is uninstalled. So without it none is written: this process is on its way out,
    and what it wrote now would stay for good.
    """
    read = _reader(kube, resources.DEPLOYMENTS.path(namespace, PROXYD_SERVICE))

    async def write(obj: Object) -> None:
        deployment = await read()
        if deployment is None:
            return
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": PROXYD_SERVICE}
        owners = [{**owner, "uid": deployment["metadata"]["uid"]}]
        obj = {**obj, "metadata": {**obj["metadata"], "ownerReferences": owners}}
        path = resources.CONFIG_MAPS.path(obj["metadata"]["namespace"], obj["metadata"]["name"])
        query = {"fieldManager": f"{FIELD_MANAGER}-proxyd", "force": "true"}
        await kube.request("PATCH", path, query=query, body=obj, content_type=client.APPLY)

    return write


def _reader(kube: client.Client, path: str) -> Callable[[], Awaitable[Object | None]]:
    async def read() -> Object | None:
        try:
            found: Object = await kube.request("GET", path)
        except errors.NotFound:
            return None
        return found

    return read


def _listers(held: Caches) -> gather.Listers:
    return gather.Listers(
        namespaces=held["namespaces"],
        identities=held["identities"],
        policies=held["policies"],
        cluster_policies=held["cluster_policies"],
        pods=held["mesh_pods"],
        network_policies=held["network_policies"],
    )


def _installation(settings: Settings, held: Caches) -> Installation:
    return gather.with_api_server(settings.installation, held["endpoint_slices"])


def _enrolled(gatherer: gather.Gatherer, name: str) -> bool:
    found = gatherer.namespace(name)
    if found is None or found.enrolment is Enrolment.NONE:
        return False
    return not closing.is_exempt(gatherer.world(), name)


def _wishes(gatherer: gather.Gatherer, namespace: str, account: str) -> Certificate:
    """How an identity's certificates shall be: of several ServiceIdentities of one account the shortest life holds."""
    found = [each.certificate for each in gatherer.identities.of(namespace) if each.service_account == account]
    return min(found, key=lambda each: (each.ttl, each.renew_at), default=Certificate())


#: Caches whose news are about one part of a namespace's world, and which.
_PARTS: Final = {
    "network_policies": "network_policies",
    "mesh_pods": "pods",
    "mesh_services": "services",
    "mesh_slices": "endpoint_slices",
}


def _subscribe(parts: Parts, snapshots: Snapshots) -> None:
    held, fleet, classes = parts.caches, parts.fleet, parts.classes

    def tell(part: str, namespace: str) -> None:
        snapshots.changed(part, namespace)
        classes.changed(namespace)

    def tell_written(part: str, namespace: str, name: str) -> None:
        """Statuses, ours among them, are no news."""
        obj = held[part].get(namespace, name)
        version = obj and (obj["metadata"].get("uid"), obj["metadata"].get("generation"))
        if version is not None and versions.get((part, namespace, name)) == version:
            return
        versions.pop((part, namespace, name), None)
        if version is not None:
            versions[part, namespace, name] = version
        if part == "identities":
            fleet.identities_changed(namespace)
        tell(part, namespace)

    versions: dict[tuple[str, str, str], object] = {}
    for name in ("identities", "policies", "cluster_policies"):
        held[name].subscribe(functools.partial(tell_written, name))
    for name, part in _PARTS.items():
        held[name].subscribe(lambda namespace, _, part=part: tell(part, namespace))  # type: ignore[misc]
    held["namespaces"].subscribe(lambda _, name: tell("", name))
    held["endpoint_slices"].subscribe(lambda *_: classes.changed(""))
    held["mesh_pods"].subscribe(fleet.pod_changed)
    held["namespaces"].subscribe(lambda _, name: fleet.namespace_changed(name))

    def renewed_ca(*_: str) -> None:
        # Either without the other looks like a CA that was lost.
        if not (held["ca"].synced and held["ca_marker"].synced):
            return
        parts.authority.refresh()
        fleet.authority_changed()

    held["ca"].subscribe(renewed_ca)
    held["ca_marker"].subscribe(renewed_ca)

    def certified(namespace: str, name: str) -> None:
        secret = held["proxyd_serving"].get(namespace, name)
        if secret is not None:
            parts.certificate.take(secret)

    held["proxyd_serving"].subscribe(certified)
