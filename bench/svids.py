"""How many identities a proxyd can hand out: keys with certificates, and all that is done for a proxy's secret."""

import datetime
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ringfence.model.ca import CaState
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.resources import Certificate
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys, root, slots, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.proxyd.identities import Authority, Issuer

from bench import table

GOAL: Final = 5000
_SECONDS: Final = 2.0
_ENDS: Final = 3600
_TRUST_DOMAIN: Final = "cluster.local"
_WHO: Final = SpiffeId.of_service_account(_TRUST_DOMAIN, "shop", "web")


class Always(Authority):
    """A CA that is there and signs."""

    def __init__(self) -> None:
        made = root.make_root(_TRUST_DOMAIN, time.time(), _serial())
        self.held = slots.first(_TRUST_DOMAIN, made, time.time())
        self.local = LocalSigner(self.held.current)
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _TRUST_DOMAIN)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._start = datetime.datetime.now(datetime.UTC)

    def bare(self) -> None:
        """The least that the library has to do: a key, a certificate with its identity, and both in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(_WHO))])
        made = x509.CertificateBuilder(self._name, self._name, key.public_key(), _serial())
        made = made.not_valid_before(self._start).not_valid_after(self._start + datetime.timedelta(seconds=_ENDS))
        signed = made.add_extension(uri, critical=True).sign(self._key, hashes.SHA256())
        signed.public_bytes(serialization.Encoding.PEM)
        form, kept = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        key.private_bytes(serialization.Encoding.PEM, form, kept)

    def signer(self) -> tuple[LocalSigner, CaState]:
        return self.local, self.held


@dataclass(frozen=True, slots=True)
class System:
    """The system's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def rows() -> list[table.Row]:
    """A second of one core's time, whatever else the machine does."""
    authority = Always()
    issuer = Issuer(authority, System(), _serial, 24 * _ENDS)
    signed = _rate(lambda: _sign(authority))
    bare = _rate(authority.bare)
    judged = _rate(lambda: issuer.issue(_WHO, Certificate()))
    what = "SVIDs with keys, a second of one core"
    return [
        table.Row(what, f"{signed:.0f} (the library by itself {bare:.0f})", f"at least {GOAL}", signed >= GOAL),
        table.Row("the same, each judged and made a secret as proxyd does", f"{judged:.0f}"),
    ]


def _sign(authority: Always) -> None:
    ends = authority.held.current.root.not_after
    leaf = template.leaf(_WHO, (), ttl=_ENDS, now=time.time(), serial=_serial(), issuer_ends=ends)
    authority.local.sign_now(leaf, keys.generate(KeyAlgorithm.ECDSA_P256).public_der)


def _rate(make: Callable[[], object]) -> float:
    made, started = 0, time.thread_time()
    while time.thread_time() - started < _SECONDS:
        make()
        made += 1
    return made / (time.thread_time() - started)


def _serial() -> int:
    return secrets.randbits(126) | 1 << 126
