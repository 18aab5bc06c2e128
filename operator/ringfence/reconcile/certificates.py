"""Certificates of the identities of one namespace: who may have which names, what to issue, and what to say of it.

Before the first Secret come the right to see Secrets (a RoleBinding for this namespace alone), the trust bundle, and a
complete cache of the Secrets that are there. Each Secret is then judged by pki.identity_secret; what it asks for is
done, and only for what changed since the last look.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ringfence.model.ca import CaState
from ringfence.model.certificates import CertificateSummary, KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY, SECRETS_ROLE
from ringfence.model.ports import Lister, Object
from ringfence.model.resources import ClusterSecurityPolicy, ServiceIdentity
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Workload
from ringfence.pki import dns, identity_secret, issue, keys, store
from ringfence.pki.encoding import BadCertificate
from ringfence.pki.identity_secret import ANNOTATION_IDENTITY, Action, Decision, Reason, Wish
from ringfence.pki.local_signer import SigningRefused
from ringfence.pki.store import CaUnusable
from ringfence.pki.template import InvalidTemplate
from ringfence.pki.validate import CertificateRefused
from ringfence.reconcile import conditions, service_names
from ringfence.reconcile.ca import PURPOSE_CERTIFICATES, CaKeeper, write_config_map
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.live import Fetch, SecretCaches
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter

_log = logging.getLogger(__name__)

SECRETS_BINDING: Final = SECRETS_ROLE
SERVICE_ACCOUNT: Final = "ringfence-controller"

CERTIFICATE_READY: Final = "CertificateReady"
REASON_ISSUED: Final = "Issued"
REASON_NOT_GRANTED: Final = "NamesNotGranted"
REASON_REFUSED: Final = "CertificateRefused"

#: Certificates that are issued and stored at the same time, over all namespaces.
AT_ONCE: Final = 16
#: A decision is not believed any more when the clock was set back by more than this many seconds.
_BACK_SECONDS: Final = 300.0
#: Trying again would give the same answer: what is asked for cannot be, or the signer does not do it.
_FINAL: Final = (InvalidTemplate, CertificateRefused, SigningRefused, BadCertificate)


@dataclass(frozen=True, slots=True)
class Told:
    """What the status of an identity says of its certificate; ``condition`` None: it asked for none."""

    certificate: Mapping[str, str] | None = None
    condition: Condition | None = None


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
    """A namespace as it was looked at: its identities (value None: never understood), pods, and the grants."""

    namespace: str
    enrolled: bool
    identities: Sequence[tuple[Object, ServiceIdentity | None]]
    workloads: Sequence[Workload]
    cluster_policies: Sequence[ClusterSecurityPolicy]


@dataclass(frozen=True, slots=True)
class _Case:
    """One identity that wants a certificate. ``refused``: names that it asks for and may not have."""

    obj: Object
    wish: Wish
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of one identity."""

    told: Told
    again_at: float | None = None
    ends: int | None = None


class Certificates:
    """``reconcile`` may run for several namespaces at once, never twice at once for the same."""

    def __init__(
        self,
        listers: CertificateListers,
        ca: CaKeeper,
        means: Means,
        fetch: Fetch,
        serial: Callable[[], int],
        meter: Meter,
        *,
        make_key: keys.KeyMaker = keys.generate,
    ) -> None:
        self._listers = listers
        self._ca = ca
        self._means = means
        self._fetch = fetch
        self._serial = serial
        self._meter = meter
        self._make_key = make_key
        self._room = asyncio.Semaphore(AT_ONCE)
        self._decided: dict[tuple[str, str], tuple[Any, float, Decision]] = {}
        #: Called with a namespace and when to look at it again (epoch seconds, None: at no known moment).
        self.due: Callable[[str, float | None], None] = lambda *_: None

    def forget(self, namespace: str) -> None:
        """The namespace is gone or about to be: watch nothing there, write nothing there."""
        self._meter.ends(namespace, {})
        self._listers.secrets.close(namespace)
        self.due(namespace, None)
        for place in [each for each in self._decided if each[0] == namespace]:
            del self._decided[place]

    async def reconcile(self, subject: Subject) -> Certified:
        """Do what is due in the namespace; never raises RingfenceError, but returns what failed."""
        try:
            if not subject.enrolled:
                await self._leave(subject.namespace)
                return Certified()
            certified = await self._reconcile(subject)
        except RingfenceError as error:
            told = {obj["metadata"]["name"]: _held(obj) for obj, value in subject.identities if _wants(value)}
            certified = Certified(told, [("certificates", error)])
        self.due(subject.namespace, certified.again_at)
        return certified

    async def _reconcile(self, subject: Subject) -> Certified:
        namespace = subject.namespace
        await self._bind(namespace)
        state, problem = self._ca.state, self._ca.problem
        if state is None:
            # Without a word there is nothing to say yet: the CA is about to be loaded.
            told = {
                obj["metadata"]["name"]: _unusable(obj, problem) for obj, value in subject.identities if _wants(value)
            }
            return Certified(told)
        bundle = {store.BUNDLE_KEY: state.bundle.decode()}
        await write_config_map(self._means, namespace, bundle, self._listers.bundles.get(namespace, store.MARKER_NAME))
        secrets = await self._listers.secrets.open(namespace)
        cases = [case for each in subject.identities if (case := self._case(subject, secrets, *each))]
        done = await asyncio.gather(*(self._certify(case, secrets, state) for case in cases), return_exceptions=True)
        failures = await self._sweep(subject, secrets)
        return self._sum_up(namespace, cases, done, failures)

    def _sum_up(
        self,
        namespace: str,
        cases: Sequence[_Case],
        done: Sequence[_Done | BaseException],
        failures: list[tuple[str, RingfenceError]],
    ) -> Certified:
        told: dict[str, Told] = {}
        ends: dict[str, int] = {}
        moments = []
        for case, each in zip(cases, done, strict=True):
            name = case.wish.name
            if isinstance(each, RingfenceError):
                told[name] = _held(case.obj)
                failures.append((f"certificate of {name}", each))
                continue
            if isinstance(each, BaseException):
                raise each
            told[name] = each.told
            if each.ends is not None:
                ends[name] = each.ends
            if each.again_at is not None:
                moments.append(each.again_at)
        self._meter.ends(namespace, ends)
        return Certified(told, failures, min(moments) if moments else None)

    # --- one identity -------------------------------------------------------------------------------------------

    def _case(self, subject: Subject, secrets: Lister, obj: Object, value: ServiceIdentity | None) -> _Case | None:
        """What the identity wants; None when it wants no Secret or is no identity."""
        if value is None or not value.certificate.secret_name:
            return None
        wanted = value.certificate
        namespace, name = subject.namespace, obj["metadata"]["name"]
        try:
            spiffe_id = SpiffeId.of_service_account(self._ca.options.trust_domain, namespace, value.service_account)
        except ValueError:
            return None  # The status says so already.
        held = secrets.get(namespace, wanted.secret_name)
        pods = [each for each in subject.workloads if each.service_account == value.service_account]
        own = service_names.of(namespace, self._listers.services.list(namespace), pods, held)
        refused = dns.ungranted(wanted.dns_names, own, service_names.granted(subject.cluster_policies, namespace, name))
        return _Case(
            obj,
            Wish(
                namespace=namespace,
                name=name,
                uid=obj["metadata"].get("uid", ""),
                secret_name=wanted.secret_name,
                spiffe_id=spiffe_id,
                dns_names=tuple(sorted({*own, *wanted.dns_names} - set(refused))),
                ttl=min(wanted.ttl, self._ca.options.max_ttl),
                renew_at=wanted.renew_at,
                key_algorithm=KeyAlgorithm(wanted.key_algorithm),
            ),
            refused,
        )

    async def _certify(self, case: _Case, secrets: Lister, state: CaState) -> _Done:
        wish = case.wish
        held = secrets.get(wish.namespace, wish.secret_name)
        decision = self._decide(held, wish, state)
        if decision.action is Action.KEEP:
            return _good(case, decision.summary, decision.again_at)
        async with self._room:
            return await self._act(case, held, decision, state)

    def _decide(self, held: Object | None, wish: Wish, state: CaState) -> Decision:
        """As pki decides, but what was found good is not judged again before something changes or is due."""
        now = self._means.clock.now()
        place = (wish.namespace, wish.secret_name)
        version = (wish, held and held["metadata"].get("resourceVersion"), state)
        before = self._decided.get(place)
        if before is not None and before[0] == version and before[1] - _BACK_SECONDS <= now:
            decision = before[2]
            if decision.again_at is None or now < decision.again_at:
                return decision
        decision = identity_secret.decide(held, wish, state, now, self._ca.options.timing.reissue_within)
        if decision.action is Action.KEEP:
            self._decided[place] = (version, now, decision)
        return decision

    async def _act(self, case: _Case, held: Object | None, decision: Decision, state: CaState) -> _Done:
        if decision.action is Action.LEAVE:
            return _bad(case, decision.reason, decision.message, decision.summary)
        try:
            if decision.action is Action.REWRITE and held is not None:
                await self._write(identity_secret.rewritten(held, case.wish, state.bundle), held)
                return _good(case, decision.summary, self._means.clock.now())
            return await self._issue(case, held, decision, state)
        except RingfenceError as error:
            self._meter.failed(type(error).__name__)
            if not isinstance(error, _FINAL):
                raise
            await self._event(case, "Warning", REASON_REFUSED, str(error))
            return _bad(case, REASON_REFUSED, str(error), decision.summary)

    async def _issue(self, case: _Case, held: Object | None, decision: Decision, state: CaState) -> _Done:
        wish, now = case.wish, self._means.clock.now()
        template = identity_secret.leaf_template(wish, state, now, self._serial())
        slow = wish.key_algorithm is KeyAlgorithm.RSA_3072
        key = (
            await asyncio.to_thread(self._make_key, wish.key_algorithm) if slow else self._make_key(wish.key_algorithm)
        )
        pair = await issue.issue(template, key, self._ca.signer, state.bundle, now)
        secret = identity_secret.desired(wish, pair, state.bundle)
        if held is None:
            refusal = await self._create(secret, wish, state)
            if refusal is not None:
                return _bad(case, refusal.reason, refusal.message, None)
        else:
            await self._write(secret, held)
        self._meter.issued(decision.reason)
        summary = identity_secret.summary_of(pair, state, wish.renew_at)
        await self._event(case, "Normal", "CertificateIssued", f"{decision.message}: issued {summary.serial}")
        return _good(case, summary, summary.renewal_time)

    async def _create(self, secret: Object, wish: Wish, state: CaState) -> Decision | None:
        """Create the Secret; the decision to leave alone what is there of that name, if so."""
        try:
            await self._means.applier.create(secret)
        except RingfenceError:
            # Perhaps there is one without our labels, which our cache does not see.
            there = await self._fetch("Secret", wish.namespace, wish.secret_name)
            if there is None:
                raise
            found = identity_secret.decide(there, wish, state, self._means.clock.now())
            if found.action is Action.LEAVE:
                return found
            raise
        return None

    async def _write(self, secret: Object, held: Object) -> None:
        """Replace what is there, keeping labels and annotations of others; raises when it is not as it was read."""
        wanted, have = secret["metadata"], held["metadata"]
        metadata = {key: value for key, value in have.items() if key != "managedFields"}
        for section in ("labels", "annotations"):
            metadata[section] = {**(have.get(section) or {}), **wanted[section]}
        metadata["ownerReferences"] = wanted["ownerReferences"]
        await self._means.applier.replace({**secret, "metadata": metadata})

    async def _event(self, case: _Case, type_: str, reason: str, note: str) -> None:
        await self._means.events.emit(case.obj, type_=type_, reason=reason, action="IssueCertificate", note=note)

    # --- the namespace ------------------------------------------------------------------------------------------

    async def _bind(self, namespace: str) -> None:
        """See to the right to read and write Secrets here."""
        held = self._listers.bindings.get(namespace, SECRETS_BINDING)
        wanted = binding(namespace, self._ca.options.namespace)
        if held is not None:
            if all(held.get(key) == wanted[key] for key in ("roleRef", "subjects")):
                return
            # The role of a binding cannot be changed; and what else it binds must go.
            await self._means.applier.delete(
                held["apiVersion"], held["kind"], namespace, SECRETS_BINDING, uid=held["metadata"].get("uid", "")
            )
        # Applied, not created: a POST cannot be limited to a name by RBAC, a PATCH can.
        await self._means.applier.apply(wanted)

    async def _leave(self, namespace: str) -> None:
        """The namespace is not enrolled (any more): take back what was put there. Its Secrets stay and end."""
        self.forget(namespace)
        if namespace == self._ca.options.namespace:
            return
        for lister, name in ((self._listers.bundles, store.MARKER_NAME), (self._listers.bindings, SECRETS_BINDING)):
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


def binding(namespace: str, own_namespace: str) -> dict[str, Any]:
    """The RoleBinding that lets the controller at the Secrets of a namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": SECRETS_BINDING,
            "namespace": namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE_CERTIFICATES},
        },
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": SECRETS_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": own_namespace}],
    }


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
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_PURPOSE) == PURPOSE_CERTIFICATES


def _good(case: _Case, summary: CertificateSummary | None, again_at: float | None) -> _Done:
    condition = Condition(
        CERTIFICATE_READY, True, REASON_ISSUED, f"the certificate is in Secret {case.wish.secret_name}"
    )
    if case.refused:
        condition = Condition(
            CERTIFICATE_READY,
            False,
            REASON_NOT_GRANTED,
            f"issued without {', '.join(case.refused)}: they need a grant in a ClusterSecurityPolicy"
            " (spec.grants: namespace, identities, dnsNames)",
        )
    return _Done(Told(_certificate(summary), condition), again_at, summary.not_after if summary else None)


def _bad(case: _Case, reason: Reason | str, message: str, summary: CertificateSummary | None) -> _Done:
    told = Told(_certificate(summary), Condition(CERTIFICATE_READY, False, str(reason), message))
    return _Done(told, ends=summary.not_after if summary else None)


def _held(obj: Object) -> Told:
    """What the status says already: nothing new is known."""
    held = obj.get("status") or {}
    known = conditions.find(held.get("conditions"), CERTIFICATE_READY)
    condition = None
    if known is not None:
        condition = Condition(CERTIFICATE_READY, known["status"] == "True", known["reason"], known["message"])
    return Told(held.get("certificate"), condition)


def _unusable(obj: Object, problem: CaUnusable | None) -> Told:
    if problem is None:
        return _held(obj)
    return Told(
        (obj.get("status") or {}).get("certificate"),
        Condition(CERTIFICATE_READY, False, problem.reason, f"{problem}; nothing is issued or renewed meanwhile"),
    )


def _certificate(summary: CertificateSummary | None) -> dict[str, str] | None:
    if summary is None:
        return None
    return {
        "serial": summary.serial,
        "notBefore": conditions.timestamp(summary.not_before),
        "notAfter": conditions.timestamp(summary.not_after),
        "renewalTime": conditions.timestamp(summary.renewal_time),
        "issuer": summary.issuer,
    }


def joined(
    numbers: Mapping[str, Any], ready: Condition, told: Told
) -> tuple[dict[str, Any], Condition, list[Condition]]:
    """The status of an identity with what is to be said of its certificate: fields, Ready, and other conditions."""
    fields = dict(numbers)
    if told.certificate:
        fields["certificate"] = dict(told.certificate)
    if told.condition is None:
        return fields, ready, []
    if ready.status and not told.condition.status:
        ready = Condition(ready.type, False, told.condition.reason, told.condition.message)
    return fields, ready, [told.condition]
