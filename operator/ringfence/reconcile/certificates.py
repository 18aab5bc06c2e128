"""Certificates of the identities of one namespace: who may have which names, and which Secrets there shall be.

Before the first Secret come the trust bundle, the right to see Secrets (a RoleBinding for this namespace alone), and a
complete cache of the Secrets that are there. What is done about each identity is issuing's; what is said of it,
certificate_status's.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ringfence.model.certificates import CertificateSummary, KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Lister, Object
from ringfence.model.resources import ClusterSecurityPolicy, ServiceIdentity
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Workload
from ringfence.pki import dns, identity_secret, store
from ringfence.pki.identity_secret import ANNOTATION_IDENTITY, Wish
from ringfence.reconcile import certificate_status, secret_access, service_names, trust_bundle
from ringfence.reconcile.ca import CaKeeper
from ringfence.reconcile.certificate_status import Told
from ringfence.reconcile.issuing import Case, Done, Issuer
from ringfence.reconcile.live import SecretCaches
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter


@dataclass(frozen=True, slots=True)
class Certified:
    """What came of it: by name of the identity, with what failed, and when to look again (epoch seconds)."""

    told: Mapping[str, Told] = field(default_factory=dict)
    failures: Sequence[tuple[str, RingfenceError]] = ()
    again_at: float | None = None


@dataclass(frozen=True, slots=True)
class CertificateListers:
    """The caches that are read, all of the whole cluster but ``secrets``."""

    bundles: Lister
    bindings: Lister
    services: Lister
    secrets: SecretCaches


@dataclass(frozen=True, slots=True)
class Subject:
    """A namespace as it was looked at: its identities (value None: never understood), pods, and the grants.

    ``unpublished`` is why its trust bundle could not be written; nothing is issued then.
    """

    namespace: str
    enrolled: bool
    identities: Sequence[tuple[Object, ServiceIdentity | None]]
    workloads: Sequence[Workload]
    cluster_policies: Sequence[ClusterSecurityPolicy]
    unpublished: RingfenceError | None = None


class _Names:
    """Which DNS names the identities of a namespace may have; what all of them share is worked out once."""

    def __init__(self, subject: Subject, services: Sequence[Object]) -> None:
        self.namespace = subject.namespace
        self._services = service_names.selecting(services)
        self._policies = subject.cluster_policies
        self._pods: dict[str, list[Workload]] = {}
        for each in subject.workloads:
            self._pods.setdefault(each.service_account, []).append(each)

    def own(self, service_account: str, held: Object | None) -> tuple[str, ...]:
        """Those that follow from Services; ``held`` is the identity's Secret."""
        return service_names.of(self.namespace, self._services, self._pods.get(service_account, ()), held)

    def granted(self, identity: str) -> tuple[str, ...]:
        """The patterns that the platform grants."""
        return service_names.granted(self._policies, self.namespace, identity)


class Certificates:
    """``reconcile`` may run for several namespaces at once, never twice at once for the same."""

    def __init__(
        self,
        listers: CertificateListers,
        ca: CaKeeper,
        means: Means,
        issuer: Issuer,
        meter: Meter,
        *,
        for_proxies: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``for_proxies`` says what stands in the trust bundles beside the roots of identities."""
        self._for_proxies = for_proxies
        self._listers = listers
        self._ca = ca
        self._means = means
        self._issuer = issuer
        self._meter = meter
        #: Called with a namespace and when to look at it again (epoch seconds, None: at no known moment).
        self.due: Callable[[str, float | None], None] = lambda *_: None

    def forget(self, namespace: str) -> None:
        """The namespace is gone or about to be: watch nothing there, write nothing there."""
        self._meter.holds(namespace, {})
        self._listers.secrets.close(namespace)
        self.due(namespace, None)
        self._issuer.forget(namespace)

    async def publish(self, namespace: str) -> None:
        """Have the trust bundle of an enrolled namespace hold what it shall; nothing while there is no CA.

        Before pods may come: whoever made the ConfigMap before would tell their proxies whom to follow. Raises
        RingfenceError.
        """
        state = self._ca.state
        if state is None:
            return
        bundle = {store.BUNDLE_KEY: state.bundle.decode(), **self._for_proxies()}
        held = self._listers.bundles.get(namespace, store.MARKER_NAME)
        await trust_bundle.write(self._means, self._meter, namespace, bundle, held)

    async def reconcile(self, subject: Subject) -> Certified:
        """Do what is due in the namespace; never raises RingfenceError, but returns what failed."""
        try:
            if not subject.enrolled:
                await self._leave(subject.namespace)
                return Certified()
            certified = await self._reconcile(subject)
        except RingfenceError as error:
            told = {
                obj["metadata"]["name"]: certificate_status.unchanged(obj)
                for obj, value in subject.identities
                if _wants(value)
            }
            certified = Certified(told, [("certificates", error)])
        self.due(subject.namespace, certified.again_at)
        return certified

    async def _reconcile(self, subject: Subject) -> Certified:
        if subject.unpublished is not None:
            raise subject.unpublished
        namespace, listers = subject.namespace, self._listers
        held = listers.bindings.get(namespace, secret_access.SECRETS_BINDING)
        await secret_access.ensure(self._means, namespace, self._ca.options.namespace, held)
        state, problem = self._ca.state, self._ca.problem
        if state is None:
            told = {
                obj["metadata"]["name"]: certificate_status.without_ca(obj, problem)
                for obj, value in subject.identities
                if _wants(value)
            }
            return Certified(told)
        secrets = await listers.secrets.open(namespace)
        names = _Names(subject, self._listers.services.list(namespace))
        cases = [case for each in subject.identities if (case := self._case(names, secrets, *each))]
        done = await asyncio.gather(
            *(self._issuer.certify(case, secrets.get(namespace, case.wish.secret_name), state) for case in cases),
            return_exceptions=True,
        )
        failures = await self._sweep(subject, secrets)
        return self._sum_up(namespace, cases, done, failures)

    def _sum_up(
        self,
        namespace: str,
        cases: Sequence[Case],
        done: Sequence[Done | BaseException],
        failures: list[tuple[str, RingfenceError]],
    ) -> Certified:
        told: dict[str, Told] = {}
        held: dict[str, CertificateSummary] = {}
        moments = []
        for case, each in zip(cases, done, strict=True):
            name = case.wish.name
            if isinstance(each, RingfenceError):
                told[name] = certificate_status.unchanged(case.obj)
                failures.append((f"certificate of {name}", each))
                continue
            if isinstance(each, BaseException):
                raise each
            told[name] = each.told
            if each.summary is not None:
                held[name] = each.summary
            if each.again_at is not None:
                moments.append(each.again_at)
        self._meter.holds(namespace, held)
        return Certified(told, failures, min(moments) if moments else None)

    def _case(self, names: "_Names", secrets: Lister, obj: Object, value: ServiceIdentity | None) -> Case | None:
        """What the identity wants; None when it wants no Secret or is no identity."""
        if value is None or not value.certificate.secret_name:
            return None
        wanted = value.certificate
        namespace, name = names.namespace, obj["metadata"]["name"]
        try:
            spiffe_id = SpiffeId.of_service_account(self._ca.options.trust_domain, namespace, value.service_account)
        except ValueError:
            return None  # The status says so already.
        own = names.own(value.service_account, secrets.get(namespace, wanted.secret_name))
        refused = dns.ungranted(wanted.dns_names, own, names.granted(name)) if wanted.dns_names else ()
        wish = Wish(
            namespace=namespace,
            name=name,
            uid=obj["metadata"].get("uid", ""),
            secret_name=wanted.secret_name,
            spiffe_id=spiffe_id,
            dns_names=tuple(sorted({*own, *wanted.dns_names} - set(refused))),
            ttl=min(wanted.ttl, self._ca.options.max_ttl),
            renew_at=wanted.renew_at,
            key_algorithm=KeyAlgorithm(wanted.key_algorithm),
        )
        return Case(obj, wish, refused)

    async def _leave(self, namespace: str) -> None:
        """The namespace is not enrolled (any more): take back what was put there. Its Secrets stay and end."""
        self.forget(namespace)
        if namespace == self._ca.options.namespace:
            return
        for lister, name in (
            (self._listers.bundles, store.MARKER_NAME),
            (self._listers.bindings, secret_access.SECRETS_BINDING),
        ):
            held = lister.get(namespace, name)
            if held is not None and _ours(held):
                await self._means.applier.delete(
                    held["apiVersion"], held["kind"], namespace, name, uid=held["metadata"].get("uid", "")
                )

    async def _sweep(self, subject: Subject, secrets: Lister) -> list[tuple[str, RingfenceError]]:
        """Delete Secrets that no identity wants any more; what failed."""
        wanted: dict[str, str | None] = {
            obj["metadata"]["name"]: None if value is None else value.certificate.secret_name
            for obj, value in subject.identities
        }
        failures: list[tuple[str, RingfenceError]] = []
        for secret in _surplus(secrets.list(subject.namespace), wanted):
            metadata = secret["metadata"]
            try:
                await self._means.applier.delete(
                    "v1", "Secret", subject.namespace, metadata["name"], uid=metadata["uid"]
                )
            except RingfenceError as error:
                failures.append((f"Secret {metadata['name']}", error))
        return failures


def _surplus(secrets: Iterable[Object], wanted: Mapping[str, str | None]) -> list[Object]:
    """Secrets of identities that are gone or want another one; ``wanted`` None: what it wants is not known."""
    found = []
    for secret in secrets:
        owner = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_IDENTITY, "")
        name = wanted.get(owner, "")
        if identity_secret.is_ours(secret) and name is not None and name != secret["metadata"]["name"]:
            found.append(secret)
    return found


def _wants(value: ServiceIdentity | None) -> bool:
    return value is None or bool(value.certificate.secret_name)


def _ours(obj: Object) -> bool:
    labels = obj["metadata"].get("labels") or {}
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_PURPOSE) == trust_bundle.PURPOSE
