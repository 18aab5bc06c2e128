"""The certificate authority of the identities as a value: which root signs, which comes next, which are trusted."""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a rotation stands."""

    IDLE = "Idle"
    """One root, which signs."""
    PREPARED = "Prepared"
    """The next root is trusted wherever the bundle goes, but does not sign yet."""
    ACTIVATED = "Activated"
    """The next root has become the one that signs; the previous one is trusted until nothing of it is in use."""


class RotationReason(StrEnum):
    """Why a root is replaced."""

    AGE = "Age"
    REQUESTED = "Requested"
    COMPROMISED = "Compromised"


@dataclass(frozen=True, slots=True)
class Root:
    """A trusted root: its certificate in PEM, SHA-256 of its DER form in lower-case hex, and its life.

    ``not_before`` and ``not_after`` are seconds since the epoch (UTC).
    """

    certificate: bytes
    fingerprint: str
    not_before: int
    not_after: int


@dataclass(frozen=True, slots=True, repr=False)
class Slot:
    """A root with its private key (PKCS #8 in PEM, not encrypted). Shown without the key."""

    root: Root
    key: bytes

    def __repr__(self) -> str:
        return f"Slot({self.root.fingerprint})"


@dataclass(frozen=True, slots=True)
class Previous:
    """The root that signed before; its key is gone. No leaf of it is valid after ``leaves_until`` (epoch seconds)."""

    root: Root
    leaves_until: int


@dataclass(frozen=True, slots=True)
class CaState:
    """The whole state. ``next`` is set exactly in phase Prepared, ``previous`` exactly in Activated.

    ``since`` is when the phase was entered (epoch seconds, whole); ``reason`` is None exactly in phase Idle.
    """

    trust_domain: str
    phase: Phase
    since: int
    current: Slot
    reason: RotationReason | None = None
    next: Slot | None = None
    previous: Previous | None = None

    @property
    def roots(self) -> tuple[Root, ...]:
        """Every trusted root, sorted by fingerprint."""
        found = [self.current.root]
        if self.next:
            found.append(self.next.root)
        if self.previous:
            found.append(self.previous.root)
        return tuple(sorted(found, key=lambda root: root.fingerprint))

    @property
    def bundle(self) -> bytes:
        """The certificates of the trusted roots in PEM, in the order of ``roots``: equal sets give equal bytes."""
        return b"".join(root.certificate for root in self.roots)
