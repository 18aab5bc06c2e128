"""Is a finished certificate what was asked for? Asked of every one before it is stored, and of what is stored.

Nothing here is shared with the code that writes templates or signs: a mistake there must not hide itself here. Every
mismatch is collected, since one certificate may be wrong in more ways than one and the first need not be the worst.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.errors import RingfenceError
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import path


class Wrong(StrEnum):
    """In which way a certificate is not what was asked for; stable, for conditions and tests."""

    UNREADABLE = "Unreadable"
    SUBJECT = "SubjectNotEmpty"
    SERIAL = "SerialInvalid"
    SIGNATURE_HASH = "SignatureHashWeak"
    KEY = "KeyMismatch"
    KEY_ALGORITHM = "KeyAlgorithmDiffers"
    IDENTITY = "IdentityDiffers"
    DNS_NAMES = "NamesDiffer"
    OTHER_NAMES = "OtherNames"
    CA = "IsCA"
    KEY_USAGE = "KeyUsageDiffers"
    EXTENDED_KEY_USAGE = "ExtendedKeyUsageDiffers"
    EXTENSION = "ExtensionUnexpected"
    NOT_YET_VALID = "NotYetValid"
    EXPIRED = "Expired"
    LIFE = "LifeTooLong"
    ISSUER_UNKNOWN = "IssuerUnknown"
    PATH = "PathInvalid"


@dataclass(frozen=True, slots=True, order=True)
class Mismatch:
    """One way in which it is wrong, and the details for people. Never holds key material."""

    reason: Wrong
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class CertificateRefused(RingfenceError):
    """A certificate that must not be used; ``mismatches`` is sorted and never empty."""

    def __init__(self, mismatches: Iterable[Mismatch]) -> None:
        self.mismatches = tuple(sorted(mismatches))
        super().__init__("; ".join(str(each) for each in self.mismatches))


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a certificate must be.

    ``public_key`` is a SubjectPublicKeyInfo in DER, ``roots`` trusted roots in PEM, ``now`` seconds since the epoch.
    ``longest_life`` is the most seconds from begin to end, ``latest_end`` the last moment at which it may end, if any.
    Raises ValueError when there is no key or no root to compare with: an empty expectation would pass everything.
    """

    spiffe_id: SpiffeId
    dns_names: tuple[str, ...]
    key_algorithm: KeyAlgorithm
    public_key: bytes
    roots: bytes
    now: float
    longest_life: int
    latest_end: int | None = None

    def __post_init__(self) -> None:
        if not self.public_key or not self.roots or not str(self.spiffe_id):
            raise ValueError("an expectation needs an identity, a public key and roots")
        if self.longest_life <= 0:
            raise ValueError("an expectation needs a life above zero")


def check(chain: bytes, expected: Expectation) -> None:
    """Raise CertificateRefused unless the chain (PEM, leaf first, without root) is what was asked for."""
    found = mismatches(chain, expected)
    if found:
        raise CertificateRefused(found)


def mismatches(chain: bytes, expected: Expectation) -> tuple[Mismatch, ...]:
    """Everything in which the chain is not what was asked for, sorted; empty when it is right."""
    try:
        certificates = path.read(chain)
        roots = path.read_roots(expected.roots)
    except path.BadChain as error:
        return (Mismatch(Wrong.UNREADABLE, str(error)),)
    leaf = certificates[0]
    found = [found for each in _CHECKS for found in each(leaf, expected)]
    root = path.anchor(certificates, roots)
    if root is None:
        found.append(Mismatch(Wrong.ISSUER_UNKNOWN, "no trusted root signed it"))
    else:
        found += [Mismatch(Wrong.PATH, wrong) for wrong in path.problems(certificates, root, expected.now)]
    return tuple(sorted(found))


def _subject(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    if len(leaf.subject):
        # A name in the subject would be a second identity that some verifiers look at.
        yield Mismatch(Wrong.SUBJECT, f"the subject is {leaf.subject.rfc4514_string()!r}, not empty")


def _serial(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    if not 0 < leaf.serial_number < 2**160:
        yield Mismatch(Wrong.SERIAL, "the serial number is not positive or has more than 20 bytes")


def _signature_hash(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    used = leaf.signature_hash_algorithm
    if not isinstance(used, hashes.SHA256 | hashes.SHA384 | hashes.SHA512):
        yield Mismatch(Wrong.SIGNATURE_HASH, f"signed over {used.name if used else 'no hash of its own'}")


def _key(leaf: x509.Certificate, expected: Expectation) -> Iterator[Mismatch]:
    key = leaf.public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if der != expected.public_key:
        yield Mismatch(Wrong.KEY, "its public key is not the one that was asked for")
    match expected.key_algorithm:
        case KeyAlgorithm.ECDSA_P256:
            right = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        case KeyAlgorithm.ECDSA_P384:
            right = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
        case KeyAlgorithm.RSA_3072:
            right = isinstance(key, rsa.RSAPublicKey) and (key.key_size, key.public_numbers().e) == (3072, 65537)
    if not right:
        yield Mismatch(Wrong.KEY_ALGORITHM, f"its key is not {expected.key_algorithm}")


def _names(leaf: x509.Certificate, expected: Expectation) -> Iterator[Mismatch]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        yield Mismatch(Wrong.IDENTITY, "it has no subject alternative names, so no SPIFFE ID")
        return
    if not extension.critical:
        yield Mismatch(Wrong.OTHER_NAMES, "the subject is empty and the alternative names are not critical")
    uris, domains, others = [], [], 0
    for name in extension.value:
        if isinstance(name, x509.UniformResourceIdentifier):
            uris.append(name.value)
        elif isinstance(name, x509.DNSName):
            domains.append(name.value)
        else:
            others += 1
    yield from _identity(uris, expected)
    if sorted(domains) != sorted(set(expected.dns_names)):
        missing = sorted(set(expected.dns_names) - set(domains))
        surplus = sorted(set(domains) - set(expected.dns_names)) or ["a name twice"] * (not missing)
        yield Mismatch(Wrong.DNS_NAMES, f"DNS names missing: {missing}, not asked for: {surplus}")
    if others:
        yield Mismatch(Wrong.OTHER_NAMES, f"{others} alternative names are neither URI nor DNS names")


def _identity(uris: list[str], expected: Expectation) -> Iterator[Mismatch]:
    """SPIFFE X.509-SVID §2: exactly one URI, and it is the ID. The text itself is compared, nothing normalized."""
    if len(uris) != 1:
        yield Mismatch(Wrong.IDENTITY, f"it has {len(uris)} URIs, a SPIFFE certificate has one")
    for uri in uris:
        if uri != str(expected.spiffe_id):
            yield Mismatch(Wrong.IDENTITY, f"it is for {uri!r}, not {expected.spiffe_id}")
            continue
        try:
            SpiffeId.parse(uri)
        except ValueError as error:
            yield Mismatch(Wrong.IDENTITY, f"{uri!r} is no SPIFFE ID: {error}")


def _basic_constraints(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        yield Mismatch(Wrong.CA, "it does not say that it is no CA")
        return
    if extension.value.ca:
        yield Mismatch(Wrong.CA, "it is a CA")
    if not extension.critical:
        yield Mismatch(Wrong.CA, "its basic constraints are not critical")


def _key_usage(leaf: x509.Certificate, expected: Expectation) -> Iterator[Mismatch]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    except x509.ExtensionNotFound:
        yield Mismatch(Wrong.KEY_USAGE, "it has no key usage")
        return
    allowed = {"digital_signature"}
    if expected.key_algorithm is KeyAlgorithm.RSA_3072:
        allowed.add("key_encipherment")
    present = {name for name in _USAGES if getattr(extension.value, name)}
    if not extension.critical:
        yield Mismatch(Wrong.KEY_USAGE, "its key usage is not critical")
    if "digital_signature" not in present:
        yield Mismatch(Wrong.KEY_USAGE, "its key may not sign")
    if present - allowed:
        yield Mismatch(Wrong.KEY_USAGE, f"its key may {', '.join(sorted(present - allowed))}")


def _extended_key_usage(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        yield Mismatch(Wrong.EXTENDED_KEY_USAGE, "it does not say that it is for TLS servers and clients")
        return
    if set(found) != {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}:
        listed = sorted(each.dotted_string for each in found)
        yield Mismatch(Wrong.EXTENDED_KEY_USAGE, f"it is for {listed}, not for TLS servers and clients")


def _extensions(leaf: x509.Certificate, _: Expectation) -> Iterator[Mismatch]:
    for extension in leaf.extensions:
        if extension.critical and extension.oid not in _CRITICAL:
            yield Mismatch(Wrong.EXTENSION, f"unexpected critical extension {extension.oid.dotted_string}")
        elif extension.oid == ExtensionOID.NAME_CONSTRAINTS:
            yield Mismatch(Wrong.EXTENSION, "name constraints, which only CAs have")


def _lives(leaf: x509.Certificate, expected: Expectation) -> Iterator[Mismatch]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    now = datetime.fromtimestamp(expected.now, UTC)
    if now < begin:
        yield Mismatch(Wrong.NOT_YET_VALID, f"it is valid from {begin}, and it is {now}")
    if now >= end:
        yield Mismatch(Wrong.EXPIRED, f"it ended on {end}")
    if (end - begin).total_seconds() > expected.longest_life:
        yield Mismatch(Wrong.LIFE, f"it lives {end - begin}, at most {expected.longest_life} seconds were asked for")
    if expected.latest_end is not None and end.timestamp() > expected.latest_end:
        yield Mismatch(Wrong.LIFE, f"it ends on {end}, later than was asked for")


_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_CRITICAL: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)
_CHECKS: Final[tuple[Callable[[x509.Certificate, Expectation], Iterator[Mismatch]], ...]] = (
    _subject,
    _serial,
    _signature_hash,
    _key,
    _names,
    _basic_constraints,
    _key_usage,
    _extended_key_usage,
    _extensions,
    _lives,
)
