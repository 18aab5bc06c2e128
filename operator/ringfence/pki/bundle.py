"""Trust bundles: sets of roots in PEM, always written in the same order, compared as sets."""

import hashlib

from ringfence.pki import encoding
from ringfence.pki.encoding import BadCertificate


def join(*parts: bytes) -> bytes:
    """Every certificate of the PEM texts once, sorted by fingerprint. Raises BadCertificate."""
    found = {encoding.fingerprint(each): each for each in encoding.certificates(parts)}
    return b"".join(encoding.certificate_pem(found[key]) for key in sorted(found))


def fingerprints(pem: bytes) -> tuple[str, ...]:
    """SHA-256 of each certificate in DER (hex), sorted, each once. Raises BadCertificate."""
    return tuple(sorted({encoding.fingerprint(each) for each in encoding.certificates((pem,))}))


def same(one: bytes, other: bytes) -> bool:
    """Whether both hold the same certificates; a text that cannot be read is the same as nothing."""
    try:
        return fingerprints(one) == fingerprints(other)
    except BadCertificate:
        return False


def digest(pem: bytes) -> str:
    """Tells one written bundle from another: the first 16 hex digits of the SHA-256 of its text."""
    return hashlib.sha256(pem).hexdigest()[:16]


def carries(pem: bytes, wanted: bytes) -> bool:
    """Whether every certificate of ``wanted`` is in ``pem``; a text that cannot be read carries nothing."""
    try:
        return set(fingerprints(wanted)) <= set(fingerprints(pem))
    except BadCertificate:
        return False
