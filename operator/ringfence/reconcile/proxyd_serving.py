"""proxyd's serving certificate: of the same CA as the webhook's, but trusted by others and so renewed by other rules.

Proxies know the roots from files that kubelets bring into the pods. A new root signs only once it has had the time to
get there; until then the certificate of the root before stays, which lives long enough.
"""

from collections.abc import Callable
from typing import Final

from ringfence.model.ports import Lister, Object
from ringfence.model.proxy import PROXYD_SERVICE
from ringfence.pki import serving
from ringfence.pki.encoding import BACKDATE
from ringfence.reconcile.means import Means
from ringfence.reconcile.serving import CA_SECRET, PROXYD_SECRET, data_of, secret_of

#: Seconds from a new root until every pod has it in its files: kubelets look every minute or two.
SPREAD_SECONDS: Final = 300.0


class ProxydServing:
    """Keeps the Secret as it shall be. ``ensure`` never runs twice at once."""

    def __init__(self, ca: Lister, leaf: Lister, means: Means, serial: Callable[[], int], namespace: str) -> None:
        """``ca`` and ``leaf`` hold one Secret each; ``serial`` draws positive random numbers of at most 159 bits."""
        self._ca = ca
        self._leaf = leaf
        self._means = means
        self._serial = serial
        self._namespace = namespace
        self._names = serving.names(namespace, PROXYD_SERVICE)

    async def ensure(self) -> float:
        """Make and renew what is due; seconds until this wants to be looked at again (0: no). Raises RingfenceError."""
        ca = self._ca.get(self._namespace, CA_SECRET)
        if ca is None:
            return 0.0
        signer = serving.Pair(data_of(ca, "tls.crt"), data_of(ca, "tls.key"))
        leaf, now = self._leaf.get(self._namespace, PROXYD_SECRET), self._means.clock.now()
        certificate = data_of(leaf, "tls.crt") if leaf is not None else b""
        useless = leaf is None or not data_of(leaf, "tls.key") or serving.needs_renewal(certificate, now, share=0.0)
        if not useless and not serving.is_for(certificate, signer.certificate, self._names):
            wait = serving.begins(signer.certificate) + BACKDATE.total_seconds() + SPREAD_SECONDS - now
            if wait > 0:
                return wait
            useless = True
        if useless or serving.needs_renewal(certificate, now):
            await self._issue(signer, leaf, now)
        return 0.0

    async def _issue(self, signer: serving.Pair, held: Object | None, now: float) -> None:
        made = serving.issue(signer, self._names, now, self._serial())
        data = {"tls.crt": made.certificate, "tls.key": made.key}
        secret = secret_of(held, PROXYD_SECRET, self._namespace, "kubernetes.io/tls", data)
        applier = self._means.applier
        stored = await (applier.create(secret) if held is None else applier.replace(secret))
        await self._means.events.emit(
            stored,
            type_="Normal",
            reason="ServingCertificateIssued",
            action="IssueCertificate",
            note="issued proxyd's serving certificate",
        )
