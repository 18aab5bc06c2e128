"""Keys and certificates as bytes, and back: what the serving CA and the identity CA do in the same way."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ringfence.model.errors import RingfenceError

#: Certificates count from a little before they were made, for clocks that are behind.
BACKDATE: Final = timedelta(minutes=5)
#: The keys that Ringfence makes.
PrivateKeyType = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKeyType = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")


class BadCertificate(RingfenceError):
    """A certificate or a key that cannot be read, or that do not belong together."""


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """A certificate (or a chain, leaf first) and its private key, both PEM (PKCS #8, not encrypted).

    Never logged: repr shows neither.
    """

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


def certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM text; raises BadCertificate."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise BadCertificate("not a certificate in PEM") from error


def certificates(parts: Iterable[bytes]) -> Iterator[x509.Certificate]:
    """Every certificate of the PEM texts, in order; raises BadCertificate at the first that cannot be read."""
    for part in parts:
        for pem in _PEM.findall(part):
            yield certificate(pem)


def private_key(pem: bytes) -> PrivateKeyType:
    """A private key in PEM that is not encrypted; raises BadCertificate, which never shows the key."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        # Without the cause: what a parser says of a key may quote it.
        raise BadCertificate("the private key cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise BadCertificate("the private key is neither an ECDSA nor an RSA key")
    return key


def certificate_pem(loaded: x509.Certificate) -> bytes:
    return loaded.public_bytes(serialization.Encoding.PEM)


def key_pem(key: PrivateKeyType) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_der(key: PublicKeyType) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) in DER."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def fingerprint(loaded: x509.Certificate) -> str:
    """SHA-256 of the certificate in DER, 64 lower-case hex digits."""
    return loaded.fingerprint(hashes.SHA256()).hex()


@lru_cache(maxsize=64)
def moment(seconds: float) -> datetime:
    """Seconds since the epoch as the whole seconds that certificates know (RFC 5280 §4.1.2.5)."""
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=0)


def key_usage(*, sign_certificates: bool, sign_crls: bool = False, encipher_keys: bool = False) -> x509.KeyUsage:
    """The key usage of a CA (that signs certificates) or of a leaf (that signs handshakes)."""
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=encipher_keys,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_crls,
        encipher_only=False,
        decipher_only=False,
    )
