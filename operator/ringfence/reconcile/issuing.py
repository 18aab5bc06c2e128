"""One identity's certificate: look at its Secret, and do what pki.identity_secret says of it.

What was found good is not judged again before something changes or is due, since judging a certificate costs more than
everything else that a reconcile with nothing to do does.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model.ca import CaState
from ringfence.model.certificates import CertificateSummary, KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Object
from ringfence.pki import identity_secret, issue, keys
from ringfence.pki.encoding import BadCertificate
from ringfence.pki.identity_secret import Action, Decision, Reason, Wish
from ringfence.pki.local_signer import SigningRefused
from ringfence.pki.template import InvalidTemplate
from ringfence.pki.validate import CertificateRefused
from ringfence.reconcile import certificate_status
from ringfence.reconcile.ca import CaKeeper
from ringfence.reconcile.certificate_status import REASON_REFUSED, Told
from ringfence.reconcile.live import Fetch
from ringfence.reconcile.means import Means
from ringfence.reconcile.meter import Meter

#: Certificates that are issued and stored at the same time, over all namespaces.
AT_ONCE: Final = 16
#: A decision is not believed any more when the clock was set back by more than this many seconds.
_BACK_SECONDS: Final = 300.0
#: Trying again would give the same answer: what is asked for cannot be, or the signer does not do it.
_FINAL: Final = (InvalidTemplate, CertificateRefused, SigningRefused, BadCertificate)


@dataclass(frozen=True, slots=True)
class Case:
    """One identity that wants a certificate. ``refused``: names that it asks for and may not have."""

    obj: Object
    wish: Wish
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: what to say, when to look again (epoch seconds), and the certificate that is there."""

    told: Told
    again_at: float | None = None
    summary: CertificateSummary | None = None


class Issuer:
    """``certify`` may run for many identities at once, never twice at once for the same."""

    def __init__(
        self,
        ca: CaKeeper,
        means: Means,
        fetch: Fetch,
        serial: Callable[[], int],
        meter: Meter,
        *,
        make_key: keys.KeyMaker = keys.generate,
    ) -> None:
        self._ca = ca
        self._means = means
        self._fetch = fetch
        self._serial = serial
        self._meter = meter
        self._make_key = make_key
        self._room = asyncio.Semaphore(AT_ONCE)
        self._decided: dict[tuple[str, str], tuple[Any, float, Decision]] = {}

    def forget(self, namespace: str) -> None:
        """Keep nothing of a namespace."""
        for place in [each for each in self._decided if each[0] == namespace]:
            del self._decided[place]

    async def certify(self, case: Case, held: Object | None, state: CaState) -> Done:
        """See to the certificate; ``held`` is its Secret as it is. Raises RingfenceError when to be tried again."""
        decision = self._decide(held, case.wish, state)
        if decision.action is Action.KEEP:
            return _good(case, decision.summary, decision.again_at)
        async with self._room:
            return await self._act(case, held, decision, state)

    def _decide(self, held: Object | None, wish: Wish, state: CaState) -> Decision:
        """As pki decides, or as it has decided of the very same."""
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

    async def _act(self, case: Case, held: Object | None, decision: Decision, state: CaState) -> Done:
        if decision.action is Action.LEAVE:
            return _bad(decision.reason, decision.message, decision.summary)
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
            return _bad(REASON_REFUSED, str(error), decision.summary)

    async def _issue(self, case: Case, held: Object | None, decision: Decision, state: CaState) -> Done:
        wish, now = case.wish, self._means.clock.now()
        template = identity_secret.leaf_template(wish, state, now, self._serial())
        slow = wish.key_algorithm is KeyAlgorithm.RSA_3072
        key = (
            await asyncio.to_thread(self._make_key, wish.key_algorithm) if slow else self._make_key(wish.key_algorithm)
        )
        pair = await issue.issue(template, key, self._ca.signer, state.bundle, now)
        secret = identity_secret.desired(wish, pair, state.bundle)
        stored = await (self._create(secret, wish, state) if held is None else self._write(secret, held))
        if isinstance(stored, Decision):
            return _bad(stored.reason, stored.message, None)
        self._meter.issued(decision.reason)
        summary = identity_secret.summary_of(pair, state, wish.renew_at)
        self._remember(wish, secret, stored, state, summary)
        await self._event(case, "Normal", "CertificateIssued", f"{decision.message}: issued {summary.serial}")
        return _good(case, summary, summary.renewal_time)

    def _remember(self, wish: Wish, sent: Object, stored: Object, state: CaState, summary: CertificateSummary) -> None:
        """It was judged before it was written: what is stored is good if it is what was sent."""
        if not _as_sent(sent, stored):
            return
        version = (wish, stored["metadata"].get("resourceVersion"), state)
        good = Decision(Action.KEEP, Reason.UP_TO_DATE, "it was issued just now", summary.renewal_time, summary)
        self._decided[wish.namespace, wish.secret_name] = (version, self._means.clock.now(), good)

    async def _create(self, secret: Object, wish: Wish, state: CaState) -> Object | Decision:
        """Create the Secret; the decision to leave alone what is there of that name, if so."""
        try:
            return await self._means.applier.create(secret)
        except RingfenceError:
            # Perhaps there is one without our labels, which our cache does not see.
            there = await self._fetch("Secret", wish.namespace, wish.secret_name)
            if there is None:
                raise
            found = identity_secret.decide(there, wish, state, self._means.clock.now())
            if found.action is Action.LEAVE:
                return found
            raise

    async def _write(self, secret: Object, held: Object) -> Object:
        """Replace what is there, keeping labels and annotations of others; raises when it is not as it was read."""
        wanted, have = secret["metadata"], held["metadata"]
        metadata = {key: value for key, value in have.items() if key != "managedFields"}
        for section in ("labels", "annotations"):
            metadata[section] = {**(have.get(section) or {}), **wanted[section]}
        metadata["ownerReferences"] = wanted["ownerReferences"]
        return await self._means.applier.replace({**secret, "metadata": metadata})

    async def _event(self, case: Case, type_: str, reason: str, note: str) -> None:
        await self._means.events.emit(case.obj, type_=type_, reason=reason, action="IssueCertificate", note=note)


def _as_sent(sent: Object, stored: Object) -> bool:
    """Whether nobody (an admission webhook) has changed it on its way."""
    wanted, have = sent["metadata"], stored["metadata"]
    kept = all(wanted[section].items() <= (have.get(section) or {}).items() for section in ("labels", "annotations"))
    owned = wanted["ownerReferences"] == have.get("ownerReferences")
    return kept and owned and all(sent[key] == stored.get(key) for key in ("type", "data"))


def _good(case: Case, summary: CertificateSummary | None, again_at: float | None) -> Done:
    return Done(certificate_status.good(case.wish.secret_name, case.refused, summary), again_at, summary)


def _bad(reason: Reason | str, message: str, summary: CertificateSummary | None) -> Done:
    return Done(certificate_status.bad(reason, message, summary), summary=summary)
