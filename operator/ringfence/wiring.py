"""The one place where the parts are put together; beside caches, nothing else makes an adapter."""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence import api, caches, metrics, verification
from ringfence.caches import Caches
from ringfence.certificate_metrics import PrometheusMeter
from ringfence.controls.evaluate import Context
from ringfence.controls.signatures import Known
from ringfence.kube import apply, client, errors, events, lease, reports, resources, watch
from ringfence.kube.clock import ApiClock, SystemClock
from ringfence.kube.foreign_policies import ForeignPolicies
from ringfence.kube.secrets import SecretWatches
from ringfence.kube.trust_bundles import TrustBundleWatch
from ringfence.model.acknowledgements import STALE_SECONDS
from ringfence.model.names import LABEL_PURPOSE
from ringfence.model.ports import Clock, Lister, Object
from ringfence.model.world import Enrolment, Installation
from ringfence.pki import identity_secret, rotation
from ringfence.policy import closing, resolve
from ringfence.reconcile import certificates, endpoints, gather, ownership, proxy_files, scan
from ringfence.reconcile.ca import CaKeeper, CaOptions
from ringfence.reconcile.ca_sight import CaListers
from ringfence.reconcile.cluster import ClusterListers, ClusterReconciler
from ringfence.reconcile.issuing import Issuer
from ringfence.reconcile.known_verdicts import CachedVerdicts, ReadVerdicts
from ringfence.reconcile.means import Means
from ringfence.reconcile.namespaces import Beside, NamespaceReconciler
from ringfence.reconcile.proxies import Programmed, ProxyKeeper
from ringfence.reconcile.proxyd_serving import ProxydServing
from ringfence.reconcile.scanner import Scanner
from ringfence.reconcile.serving import ServingCertificates
from ringfence.reconcile.trust_bundle import ClusterTrust
from ringfence.reconcile.verdicts import Demands, VerdictKeeper
from ringfence.settings import Settings
from ringfence.translate import admission_policy, network_policy, webhook_config


@dataclass(frozen=True)
class Operator:
    """The controller's parts, put together; whoever drives it runs ``caches`` and calls the reconcilers.

    ``scanner`` is None where no reports are wanted.
    """

    api: client.Client
    clock: Clock
    caches: Caches
    gatherer: gather.Gatherer
    namespaces: NamespaceReconciler
    cluster: ClusterReconciler
    ca: CaKeeper
    certificates: certificates.Certificates
    secrets: SecretWatches
    scanner: Scanner | None
    trust: TrustBundleWatch
    foreign: ForeignPolicies
    meter: PrometheusMeter
    verdicts: VerdictKeeper | None = None


@contextlib.asynccontextmanager
async def operator(
    settings: Settings,
    kubeconfig: Path | None,
    *,
    timing: watch.Timing | None = None,
    guard: client.Guard | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Operator]:
    """The controller's parts while the block runs. Opens no connection by itself; raises kube.errors.Unreachable.

    ``guard`` is asked before every write; None only where nobody else can be writing.
    """
    clock = clock or SystemClock()
    connection = await client.Client.connect(
        kubeconfig, component="controller", instance=settings.pod_name, observer=metrics.observe_request, guard=guard
    )
    names = caches.CONTROLLER + (caches.CONTROLLER_PROXIES if settings.proxy.enabled else ())
    namespace = settings.installation.namespace
    held = caches.make(connection, names, own_namespace=namespace, timing=timing, clock=clock)
    watches = SecretWatches(connection, f"{LABEL_PURPOSE}={identity_secret.PURPOSE}", clock=clock)
    trust = TrustBundleWatch(connection, clock=clock)
    collector = metrics.CacheCollector(lambda: _figures(held), lambda: _with_conditions(held))
    metrics.register(collector)
    inspector = verification.Inspector(connection, settings.signatures)
    try:
        yield _assembled(
            settings, _Connected(connection, held, watches, trust, ForeignPolicies(connection), clock), inspector
        )
    finally:
        metrics.unregister(collector)
        await inspector.close()
        await watches.aclose()
        await trust.aclose()
        await connection.close()


@dataclass(frozen=True, slots=True)
class _Connected:
    """What the controller hears of the cluster by."""

    api: client.Client
    held: Caches
    watches: SecretWatches
    trust: TrustBundleWatch
    foreign: ForeignPolicies
    clock: Clock


def _assembled(settings: Settings, connected: _Connected, inspector: verification.Inspector) -> Operator:
    api_, held, watches = connected.api, connected.held, connected.watches
    means = Means(
        applier=apply.KubeApplier(api_, written=_written(held, watches, connected.trust), counted=metrics.count_write),
        events=events.KubeEvents(api_, connected.clock, instance=settings.pod_name),
        clock=connected.clock,
        api_clock=ApiClock(lambda: api_.ahead),
    )
    gatherer = gatherer_of(held, settings)
    ca, issuing, meter = _certificates(settings, held, watches, connected.trust, gatherer, means, api_)
    programmed = Programmed(_reports(held), means.api_clock)
    cluster = _cluster(settings, held, gatherer, means, programmed)
    beside = Beside(
        issuing,
        cluster.ask_about_sessions,
        programmed,
        lambda name: endpoints.services(held["services"].list(name)),
        connected.foreign.named,
    )
    return Operator(
        api=api_,
        clock=connected.clock,
        caches=held,
        gatherer=gatherer,
        namespaces=_namespaces(held, gatherer, means, beside),
        cluster=cluster,
        ca=ca,
        certificates=issuing,
        secrets=watches,
        scanner=_scanner(held, api_, gatherer, means, settings) if settings.policy_reports else None,
        trust=connected.trust,
        foreign=connected.foreign,
        meter=meter,
        verdicts=VerdictKeeper(held["verdicts"], _demands(gatherer), inspector, means),
    )


def _namespaces(held: Caches, gatherer: gather.Gatherer, means: Means, beside: Beside) -> NamespaceReconciler:
    return NamespaceReconciler(
        _listers(held), gatherer, means, resolve=resolve.resolve, translate=network_policy.objects, beside=beside
    )


def _demands(gatherer: gather.Gatherer) -> Callable[[str], Demands | None]:
    """What a namespace's policies ask of signatures; None where it is not enrolled."""

    def demands(name: str) -> Demands | None:
        world = gatherer.world()
        found = gatherer.namespace(name)
        if found is None or found.enrolment is Enrolment.NONE or closing.is_exempt(world, name):
            return None
        return resolve.signature_demands(world, name)

    return demands


@contextlib.asynccontextmanager
async def elector(settings: Settings, kubeconfig: Path | None) -> AsyncIterator[lease.Elector]:
    """This process as a candidate, while the block runs; whoever drives it calls ``run``."""
    connection = await client.Client.connect(kubeconfig, component="controller-lease", instance=settings.pod_name)
    try:
        yield lease.Elector(
            connection,
            settings.installation.namespace,
            f"{settings.pod_name}_{secrets.token_hex(4)}",
            told=metrics.LEADER.set,
        )
    finally:
        await connection.close()


def gatherer_of(held: Caches, settings: Settings) -> gather.Gatherer:
    """Worlds from these caches; the API server's addresses come from the settings, or else from ``endpoint_slices``."""

    def installation() -> Installation:
        slices = held["endpoint_slices"] if "endpoint_slices" in held.reflectors else gather.NOTHING
        return gather.with_api_server(settings.installation, slices)

    return gather.Gatherer(_listers(held), api.parse, installation)


def _listers(held: Caches) -> gather.Listers:
    return gather.Listers(
        namespaces=held["namespaces"],
        identities=held["identities"],
        policies=held["policies"],
        cluster_policies=held["cluster_policies"],
        pods=held["pods"] if "pods" in held.reflectors else gather.NOTHING,
        network_policies=held["network_policies"],
    )


def _certificates(
    settings: Settings,
    held: Caches,
    watches: SecretWatches,
    trust: TrustBundleWatch,
    gatherer: gather.Gatherer,
    means: Means,
    connection: client.Client,
) -> tuple[CaKeeper, certificates.Certificates, PrometheusMeter]:
    """The CA of the identities, who issues by it, and who counts."""
    own, meter = settings.installation, PrometheusMeter(means.clock.now)

    def enrolled(name: str) -> bool:
        world = gatherer.world()
        found = gatherer.namespace(name)
        return found is not None and found.enrolment is not Enrolment.NONE and not closing.is_exempt(world, name)

    async def fetch(kind: str, namespace: str, name: str) -> Object | None:
        try:
            found: Object = await connection.request("GET", resources.of("v1", kind).path(namespace, name))
        except errors.NotFound:
            return None
        return found

    ca = CaKeeper(
        CaListers(held["ca"], held["bundles"], held["namespaces"], watches, enrolled, _reports(held), held["pods"]),
        _ca_options(settings),
        means,
        fetch,
        _serial,
        meter,
        trust=ClusterTrust(trust, means, meter),
    )
    listers = certificates.CertificateListers(
        bundles=held["bundles"], bindings=held["bindings"], services=held["services"], secrets=watches
    )
    issuer = Issuer(ca, means, fetch, _serial, meter)

    def for_proxies() -> Mapping[str, str]:
        if not settings.proxy.enabled:
            return {}
        return proxy_files.data(held["serving_ca"], held["serving"], own.namespace, means.clock.now())

    issuing = certificates.Certificates(listers, ca, means, issuer, meter, for_proxies=for_proxies)
    return ca, issuing, meter


def _ca_options(settings: Settings) -> CaOptions:
    return CaOptions(
        namespace=settings.installation.namespace,
        trust_domain=settings.installation.trust_domain,
        key_algorithm=settings.ca.key_algorithm,
        life=settings.ca.ttl,
        max_ttl=settings.ca.max_ttl,
        timing=rotation.Timing(settings.ca.propagation, settings.ca.reissue_within, _longest_life(settings)),
    )


def _scanner(
    held: Caches, connection: client.Client, gatherer: gather.Gatherer, means: Means, settings: Settings
) -> Scanner:
    """Who reports what is wrong with pods that run."""
    verdicts = ReadVerdicts(held["verdicts"])

    def context(name: str) -> Context | None:
        found = gatherer.namespace(name)
        if found is None or found.terminating or found.enrolment is Enrolment.NONE:
            return None
        world = gatherer.world()
        if closing.is_exempt(world, name):
            return None
        now = means.clock.now()
        # What is being checked is no fault of a pod that runs.
        known = Known(CachedVerdicts(verdicts, name), now, pending_refuses=False)
        return Context(found, resolve.resolve(world, name), now, known=known, proxy=settings.injection)

    kinds = reports.ReportKinds(connection, scan.KINDS)
    return Scanner(reports.PodPages(connection), kinds, means, context, counted=metrics.count_scanned)


def _serial() -> int:
    """A random serial number of 127 bits, positive."""
    return secrets.randbits(126) | 1 << 126


def _cluster(
    settings: Settings, held: Caches, gatherer: gather.Gatherer, means: Means, programmed: Programmed
) -> ClusterReconciler:
    default = settings.default_enroll
    certificates = ServingCertificates(
        held["serving_ca"], held["serving"], means, lambda: secrets.randbits(158) + 1, settings.installation.namespace
    )
    return ClusterReconciler(
        ClusterListers(
            mutating_webhooks=held["mutating_webhooks"],
            validating_webhooks=held["validating_webhooks"],
            admission_policies=held["admission_policies"],
            admission_policy_bindings=held["admission_policy_bindings"],
            cluster_policies=held["cluster_policies"],
        ),
        gatherer,
        certificates,
        means,
        policies=lambda installation, placed: ownership.by_namespace(
            admission_policy.objects(installation, default_enrolment=default, proxy=settings.injection, placed=placed),
            held["namespaces"],
            installation.namespace,
        ),
        webhooks=lambda installation, bundle, sessions: ownership.by_namespace(
            webhook_config.objects(
                installation, webhook_config.Endpoint(ca_bundle=bundle), default_enrolment=default, sessions=sessions
            ),
            held["namespaces"],
            installation.namespace,
        ),
        proxies=_proxies(settings, held, means, programmed) if settings.proxy.enabled else None,
    )


def _reports(held: Caches) -> Lister:
    """What proxyd says of its proxies; nothing where there are none."""
    return held["reports"] if "reports" in held.reflectors else gather.NOTHING


def _longest_life(settings: Settings) -> int:
    """Seconds from when a root signs no more until nothing of it is valid: proxyd may hear of that late."""
    return settings.ca.max_ttl + (STALE_SECONDS if settings.proxy.enabled else 0)


def _proxies(settings: Settings, held: Caches, means: Means, programmed: Programmed) -> ProxyKeeper:
    serving = ProxydServing(
        held["serving_ca"],
        held["proxyd_serving"],
        means,
        lambda: secrets.randbits(158) + 1,
        settings.installation.namespace,
    )
    return ProxyKeeper(serving, held["reports"], means, programmed)


class _Ear:
    """Tells the caches that hold an object how a write of it went."""

    def __init__(self, obj: Object, reflectors: list[watch.Reflector]) -> None:
        self._obj = dict(obj)
        self._reflectors = reflectors
        for each in reflectors:
            each.expect(self._obj)

    def done(self, answer: dict[str, Any] | None) -> None:
        for each in self._reflectors:
            each.learn(self._obj, answer if answer is not None and each.selects(answer) else None)


def _written(held: Caches, watches: SecretWatches, trust: TrustBundleWatch) -> apply.Written:
    by_kind: dict[str, list[watch.Reflector]] = {}
    for reflector in held:
        by_kind.setdefault(reflector.resource.kind, []).append(reflector)

    def concerned(obj: Object) -> list[watch.Reflector]:
        kind, found = obj["kind"], by_kind.get(obj["kind"], [])
        if kind == "Secret":
            return [*found, *watches.reflectors(obj["metadata"].get("namespace", ""))]
        return [*found, *trust.reflectors()] if kind == "ClusterTrustBundle" else found

    return lambda obj: _Ear(obj, concerned(obj))


def _figures(held: Caches) -> Iterable[metrics.Cache]:
    now = time.monotonic()
    for name, each in held.reflectors.items():
        yield metrics.Cache(name, len(each), each.stale_for(now), each.relists)


def _with_conditions(held: Caches) -> dict[str, Iterable[dict[str, Any]]]:
    return {held[name].resource.kind: held[name].list() for name in ("identities", "policies", "cluster_policies")}
