"""What a certificate of an identity shall say, and what people are told of the one there is."""

from dataclasses import dataclass
from enum import StrEnum

from ringfence.model.spiffe import SpiffeId


class KeyAlgorithm(StrEnum):
    """Keys that an identity may have; each has at least 128 bits of strength (NIST SP 800-57 part 1, table 2)."""

    ECDSA_P256 = "ECDSA-P256"
    ECDSA_P384 = "ECDSA-P384"
    RSA_3072 = "RSA-3072"


@dataclass(frozen=True, slots=True)
class LeafTemplate:
    """A leaf certificate before it is signed.

    ``dns_names`` are sorted and each there once. ``not_before`` and ``not_after`` are seconds since the epoch (UTC),
    whole; ``serial`` is positive with at least 64 random bits and at most 159 bits (RFC 5280 §4.1.2.2).
    """

    spiffe_id: SpiffeId
    dns_names: tuple[str, ...]
    not_before: int
    not_after: int
    serial: int
    key_algorithm: KeyAlgorithm = KeyAlgorithm.ECDSA_P256


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """A stored certificate as the status shows it.

    ``serial`` is lower-case hex, times are seconds since the epoch (UTC), ``issuer`` is the fingerprint (SHA-256 of the
    DER form, hex) of the root that signed it, "" when that root is not trusted any more.
    """

    serial: str
    not_before: int
    not_after: int
    renewal_time: int
    issuer: str
