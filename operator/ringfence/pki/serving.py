"""The serving certificates of Ringfence's own endpoints: a small CA that signs for them, and when to renew.

It has nothing to do with the identities of workloads: its root is trusted by the API server only, through the
caBundle of the webhook configurations. Pure functions; whoever calls them stores the results. ECDSA P-256 throughout
(NIST SP 800-57: 128 bits of strength), no revocation: leaves live for days and the bundle says who is trusted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfence.pki import encoding
from ringfence.pki.encoding import BACKDATE, BadCertificate, Pair

__all__ = ["BadCertificate", "Pair", "begins", "bundle", "ends", "is_for", "issue", "make_ca", "names", "needs_renewal"]

#: How long a CA and a leaf live unless the caller says otherwise.
CA_LIFE: Final = timedelta(days=365)
LEAF_LIFE: Final = timedelta(days=30)
#: Share of the life that must be left; below it a certificate is renewed.
RENEW_BELOW: Final = 1 / 3


def names(namespace: str, service: str = "ringfence-webhook") -> tuple[str, ...]:
    """The DNS names under which the API server and others reach a Service."""
    base = f"{service}.{namespace}"
    return (f"{base}.svc", f"{base}.svc.cluster.local", base)


def make_ca(now: float, serial: int, *, name: str = "Ringfence serving CA", life: timedelta = CA_LIFE) -> Pair:
    """A new self-signed CA that may sign leaves only.

    ``now`` is in seconds since the epoch (UTC), ``serial`` a positive random number of at most 159 bits (RFC 5280
    §4.1.2.2); it is in the subject too, so that two CAs of one installation never share a name.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}")]
    )
    builder = (
        _builder(subject, subject, key.public_key(), encoding.moment(now), life, serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Pair(encoding.certificate_pem(builder.sign(key, hashes.SHA256())), encoding.key_pem(key))


def issue(ca: Pair, dns_names: Sequence[str], now: float, serial: int, *, life: timedelta = LEAF_LIFE) -> Pair:
    """A leaf for a TLS server of these names, signed by ``ca``; it never outlives its CA.

    Raises BadCertificate when ``ca`` cannot be read and ValueError without a name.
    """
    if not dns_names:
        raise ValueError("a serving certificate needs at least one DNS name")
    issuer, signing_key = _load(ca)
    key = ec.generate_private_key(ec.SECP256R1())
    start = encoding.moment(now)
    life = min(life, issuer.not_valid_after_utc - start)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_names[0][:64])])
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = (
        _builder(subject, issuer.subject, key.public_key(), start, life, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in dns_names]), critical=False)
        .add_extension(authority, critical=False)
    )
    return Pair(encoding.certificate_pem(builder.sign(signing_key, hashes.SHA256())), encoding.key_pem(key))


def needs_renewal(certificate: bytes, now: float, *, share: float = RENEW_BELOW) -> bool:
    """Whether less than ``share`` of the life is left, or what is there is no certificate at all."""
    try:
        loaded = encoding.certificate(certificate)
    except BadCertificate:
        return True
    life = loaded.not_valid_after_utc - loaded.not_valid_before_utc
    return loaded.not_valid_after_utc - encoding.moment(now) < life * share


def is_for(leaf: bytes, ca: bytes, dns_names: Sequence[str]) -> bool:
    """Whether ``leaf`` was signed by ``ca`` and carries at least these names."""
    try:
        loaded, issuer = encoding.certificate(leaf), encoding.certificate(ca)
        loaded.verify_directly_issued_by(issuer)
        own = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (BadCertificate, InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return set(dns_names) <= set(own.get_values_for_type(x509.DNSName))


def bundle(*parts: bytes, now: float | None = None) -> bytes:
    """All certificates of the PEM texts, each once, in order; with ``now`` those that have ended are left out.

    The first argument is the root that signs now; older ones follow until nothing they signed is in use.
    """
    kept: dict[bytes, None] = {}
    for certificate in encoding.certificates(parts):
        if now is None or certificate.not_valid_after_utc > encoding.moment(now):
            kept[encoding.certificate_pem(certificate)] = None
    return b"".join(kept)


def ends(certificate: bytes) -> float:
    """When a certificate ends, in seconds since the epoch (UTC). Raises BadCertificate."""
    return encoding.certificate(certificate).not_valid_after_utc.timestamp()


def begins(certificate: bytes) -> float:
    """When a certificate begins, in seconds since the epoch (UTC). Raises BadCertificate."""
    return encoding.certificate(certificate).not_valid_before_utc.timestamp()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, life: timedelta, serial: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(start - BACKDATE)
        .not_valid_after(start + life)
    )


def _load(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = encoding.certificate(pair.certificate)
    try:
        key = encoding.private_key(pair.key)
    except BadCertificate as error:
        raise BadCertificate("the CA's private key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise BadCertificate("the CA's private key is not the one of its certificate")
    return certificate, key
