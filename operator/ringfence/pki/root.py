"""Roots of the identity CA: self-signed, bound to one trust domain, able to sign leaves only."""

import ipaddress
import re
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.model.ca import Root, Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.pki import encoding

#: How long a root lives unless the caller says otherwise, in seconds.
LIFE: Final = 8760 * 3600
#: A serial number has at least this many bits (CA/Browser Forum's rule; RFC 5280 §4.1.2.2 bounds it from above).
MIN_SERIAL_BITS: Final = 64
MAX_SERIAL_BITS: Final = 159

_CURVES: Final = {KeyAlgorithm.ECDSA_P256: ec.SECP256R1, KeyAlgorithm.ECDSA_P384: ec.SECP384R1}
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class BadTrustDomain(RingfenceError):
    """A trust domain that SPIFFE allows but that a name constraint cannot hold to itself."""


def make_root(
    trust_domain: str,
    now: float,
    serial: int,
    *,
    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256,
    life: int = LIFE,
) -> Slot:
    """A new root with a new key; ``now`` in seconds since the epoch, ``serial`` random with 64..159 bits.

    Raises BadTrustDomain, and ValueError for RSA (slow to sign) or a serial number out of range.
    """
    check_trust_domain(trust_domain)
    curve = _CURVES.get(key_algorithm)
    if curve is None:
        raise ValueError(f"a root's key is {' or '.join(sorted(_CURVES))}, not {key_algorithm}")
    if not 0 < serial < 2**MAX_SERIAL_BITS:
        raise ValueError(f"a serial number is positive and has at most {MAX_SERIAL_BITS} bits")
    key = ec.generate_private_key(curve())
    certificate = _certificate(trust_domain, encoding.moment(now).timestamp(), serial, key, life)
    return Slot(root_of(certificate), encoding.key_pem(key))


def root_of(certificate: x509.Certificate) -> Root:
    """The value of a certificate that has been read."""
    return Root(
        certificate=encoding.certificate_pem(certificate),
        fingerprint=encoding.fingerprint(certificate),
        not_before=int(certificate.not_valid_before_utc.timestamp()),
        not_after=int(certificate.not_valid_after_utc.timestamp()),
    )


def check_trust_domain(trust_domain: str) -> None:
    """Raise BadTrustDomain unless it is shaped as a host.

    A name constraint that begins with a dot would cover every subdomain (RFC 5280 §4.2.1.10), and verifiers refuse
    constraints that are addresses or have empty labels.
    """
    fix = "set trustDomain to a DNS name such as cluster.local"
    if len(trust_domain) > 253 or not _HOST.fullmatch(trust_domain):
        raise BadTrustDomain(f"the trust domain {trust_domain!r} is not shaped as a host ({fix})")
    try:
        ipaddress.ip_address(trust_domain)
    except ValueError:
        return
    raise BadTrustDomain(f"the trust domain {trust_domain!r} is an IP address ({fix})")


def _certificate(
    trust_domain: str, start: float, serial: int, key: ec.EllipticCurvePrivateKey, life: int
) -> x509.Certificate:
    # The serial number is in the name too: verifiers look roots up by name, and two roots must not share one.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ringfence"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Ringfence identity CA"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{serial:x}"),
        ]
    )
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    constraints = x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None)
    alternative = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(encoding.moment(start) - encoding.BACKDATE)
        .not_valid_after(encoding.moment(start + life))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(encoding.key_usage(sign_certificates=True, sign_crls=True), critical=True)
        .add_extension(constraints, critical=True)
        .add_extension(alternative, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA384() if key.curve.key_size > 256 else hashes.SHA256())
    )
