"""The life of the serving certificates: who signs, who is trusted, and in which order that may change.

A root is only used once everybody who checks has been told of it: a new CA first joins the caBundle of the webhook
configurations, and signs only after these have carried it for a while; the old root leaves when no certificate of it
can be in use. All state is in two Secrets, changed on condition that they are as they were read.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Lister, Object
from ringfence.pki import serving
from ringfence.reconcile.means import Means

CA_SECRET: Final = "ringfence-serving-ca"  # noqa: S105 (a name)
LEAF_SECRET: Final = "ringfence-webhook-tls"  # noqa: S105 (a name)
PROXYD_SECRET: Final = "ringfence-proxyd-tls"  # noqa: S105 (a name)
PURPOSE: Final = "serving"

#: Seconds that the API servers get to hear of a new root before it signs.
OVERLAP_SECONDS: Final = 30.0

_CERTIFICATE, _KEY, _ROOTS, _PREVIOUS = "tls.crt", "tls.key", "ca.crt", "previous.crt"


@dataclass(frozen=True, slots=True)
class Trust:
    """The roots to trust (PEM, the signing one first), and seconds until this wants to be looked at again (0: no)."""

    bundle: bytes
    again_in: float = 0.0


class ServingCertificates:
    """Keeps both Secrets as they shall be."""

    def __init__(
        self,
        ca: Lister,
        leaf: Lister,
        means: Means,
        serial: Callable[[], int],
        namespace: str,
    ) -> None:
        """``ca`` and ``leaf`` hold one Secret each; ``serial`` draws positive random numbers of at most 159 bits."""
        self._ca = ca
        self._leaf = leaf
        self._applier = means.applier
        self._events = means.events
        self._clock = means.clock
        self._serial = serial
        self._namespace = namespace
        self._names = serving.names(namespace)
        self._trusted: tuple[bytes, float] | None = None
        #: Called when other roots are to be trusted: caches do not tell of what this process writes itself.
        self.changed: Callable[[], None] = lambda: None

    async def ensure(self, in_use: Sequence[bytes]) -> Trust:
        """Make, renew and replace what is due; ``in_use`` are the caBundles (PEM) that the API servers have now."""
        ca = await self._ensure_ca()
        signer = serving.Pair(data_of(ca, _CERTIFICATE), data_of(ca, _KEY))
        leaf = self._leaf.get(self._namespace, LEAF_SECRET)
        roots = serving.bundle(signer.certificate, data_of(ca, _PREVIOUS), _readable(leaf), now=self._clock.now())
        if leaf is None or not data_of(leaf, _KEY):
            await self._issue(signer, roots, leaf)
            return Trust(roots)
        certificate = data_of(leaf, _CERTIFICATE)
        if serving.is_for(certificate, signer.certificate, self._names):
            return await self._renewed(ca, signer, roots, leaf)
        wait = self._untold_for(signer.certificate, in_use)
        # A certificate that has ended serves nobody: then there is nothing to wait for.
        if wait > 0 and not serving.needs_renewal(certificate, self._clock.now(), share=0.0):
            return Trust(roots, wait)
        await self._issue(signer, roots, leaf)
        return Trust(roots)

    async def _renewed(self, ca: Object, signer: serving.Pair, roots: bytes, leaf: Object) -> Trust:
        """The leaf is of the present CA: renew it when due, and then forget roots that nobody serves under."""
        if not serving.needs_renewal(data_of(leaf, _CERTIFICATE), self._clock.now()):
            if data_of(leaf, _ROOTS) != roots:
                await self._write_leaf(leaf, data_of(leaf, _CERTIFICATE), data_of(leaf, _KEY), roots)
            return Trust(roots)
        alone = serving.bundle(signer.certificate)
        await self._issue(signer, alone, leaf)
        if data_of(ca, _PREVIOUS):
            await self._write(ca, CA_SECRET, "Opaque", {_CERTIFICATE: signer.certificate, _KEY: signer.key})
        return Trust(alone)

    async def _ensure_ca(self) -> Object:
        held = self._ca.get(self._namespace, CA_SECRET)
        now = self._clock.now()
        if held is not None and data_of(held, _KEY) and not serving.needs_renewal(data_of(held, _CERTIFICATE), now):
            return held
        made = serving.make_ca(now, self._serial())
        previous = serving.bundle(_readable(held, _CERTIFICATE), _readable(held, _PREVIOUS), now=now)
        data = {_CERTIFICATE: made.certificate, _KEY: made.key}
        stored = await self._write(held, CA_SECRET, "Opaque", {**data, _PREVIOUS: previous} if previous else data)
        await self._tell(stored, "ServingCAMade", "made the root that signs serving certificates")
        return stored

    async def _issue(self, signer: serving.Pair, roots: bytes, held: Object | None) -> None:
        made = serving.issue(signer, self._names, self._clock.now(), self._serial())
        stored = await self._write_leaf(held, made.certificate, made.key, roots)
        await self._tell(stored, "ServingCertificateIssued", "issued the webhook's serving certificate")

    async def _write_leaf(self, held: Object | None, certificate: bytes, key: bytes, roots: bytes) -> Object:
        data = {_CERTIFICATE: certificate, _KEY: key, _ROOTS: roots}
        return await self._write(held, LEAF_SECRET, "kubernetes.io/tls", data)

    async def _tell(self, secret: Object, reason: str, note: str) -> None:
        await self._events.emit(secret, type_="Normal", reason=reason, action="IssueCertificate", note=note)

    async def _write(self, held: Object | None, name: str, type_: str, data: dict[str, bytes]) -> Object:
        """Create or replace; raises when it is no longer as it was read."""
        secret = secret_of(held, name, self._namespace, type_, data)
        stored = await (self._applier.create(secret) if held is None else self._applier.replace(secret))
        self.changed()
        return stored

    def _untold_for(self, root: bytes, in_use: Sequence[bytes]) -> float:
        """Seconds still to wait until every API server knows the root; 0 when nobody checks yet."""
        if not in_use:
            return 0.0
        if not all(root.strip() in each for each in in_use):
            self._trusted = None
            return OVERLAP_SECONDS
        if self._trusted is None or self._trusted[0] != root:
            self._trusted = (root, self._clock.monotonic())
        return max(0.0, self._trusted[1] + OVERLAP_SECONDS - self._clock.monotonic())


def roots(ca: Object | None, leaf: Object | None, now: float) -> bytes:
    """The roots (PEM) that whoever checks a serving certificate must trust, by the Secrets that hold them."""
    return serving.bundle(_readable(ca, _CERTIFICATE), _readable(ca, _PREVIOUS), _readable(leaf), now=now)


def secret_of(held: Object | None, name: str, namespace: str, type_: str, data: dict[str, bytes]) -> Object:
    """A Secret of the serving certificates, to be written on condition that it is as it was read (``held``)."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
    }
    if held is not None:
        metadata["resourceVersion"] = held["metadata"]["resourceVersion"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": type_,
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def data_of(secret: Object, key: str) -> bytes:
    """A value of the Secret; empty when it is missing or is no base64."""
    try:
        return base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True)
    except ValueError:
        return b""


def _readable(secret: Object | None, key: str = _ROOTS) -> bytes:
    """The certificates under a key of a Secret that may be missing or broken; broken ones are left out."""
    if secret is None:
        return b""
    try:
        return serving.bundle(data_of(secret, key))
    except serving.BadCertificate:
        return b""
