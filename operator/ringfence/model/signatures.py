"""Who must have signed an image, and what is known about that: values that policies, the webhook and the worker share.

A rule is told from others by what it asks (``fingerprint``), not by its name: what was found out for it holds for
whatever policy asks the same, and a rule that changes is a new question.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

#: Ends a pattern that covers everything below: ``registry.example/shop/*``.
BELOW: Final = "/*"
EVERYTHING: Final = "*"
#: What may stand before the ``*`` of a signer's identity, so that it never ends within a name.
_BOUNDARIES: Final = ("/*", "@*")

#: The control that refuses images whose signatures are not as a rule asks; exceptions name it.
CONTROL: Final = "image-signatures"
#: Seconds for which a good answer holds, unless it is found anew before.
LIFE: Final = 24 * 3600
#: ImageVerdicts of one namespace at most; those that nobody asked for longest give way.
MAX_HELD: Final = 256


class SignatureReason(StrEnum):
    """What came of a check. Codes are stable: statuses, logs and tests rely on them."""

    VERIFIED = "Verified"
    #: The registry holds no signature for the digest.
    NOT_SIGNED = "NotSigned"
    #: There are signatures, but none that the rule asks for.
    NOT_TRUSTED = "NotTrusted"
    #: The registry did not answer as it must; the check is made again.
    REGISTRY_FAILED = "RegistryFailed"
    #: A rule asks for keyless signatures, and the installation has no trust root for them.
    NO_TRUST_ROOT = "NoTrustRoot"


@dataclass(frozen=True, slots=True, order=True)
class Signer:
    """Who signs without a key of their own: the issuer of their identity, and the identity that its tokens name.

    ``identity`` is exact, or ends with ``/*`` or ``@*`` and means what begins so.
    """

    issuer: str
    identity: str

    def is_named(self, identity: str) -> bool:
        """Whether a certificate for ``identity`` is this signer's."""
        if self.identity.endswith(_BOUNDARIES):
            stem = self.identity[:-1]
            return len(identity) > len(stem) and identity.startswith(stem)
        return identity == self.identity


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """Images that ``images`` cover must be signed by one of ``keys`` (PEM), or by one of ``keyless``; one is empty.

    A pattern is ``registry/repository`` in full, or ends with ``/*`` for everything below, or is ``*``.
    """

    name: str
    images: tuple[str, ...]
    keys: tuple[str, ...] = ()
    keyless: tuple[Signer, ...] = ()

    def covers(self, repository: str) -> bool:
        """Whether it asks about images of ``repository`` (``registry/repository``, no tag, no digest)."""
        return any(_matches(pattern, repository) for pattern in self.images)

    @property
    def fingerprint(self) -> str:
        """What it asks, in 32 hexadecimal digits; the same for rules that ask the same."""
        return _fingerprint(self.keys, self.keyless)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found out for one rule about one digest."""

    reason: SignatureReason
    message: str = ""

    @property
    def verified(self) -> bool:
        return self.reason is SignatureReason.VERIFIED


def _matches(pattern: str, repository: str) -> bool:
    if pattern == EVERYTHING:
        return True
    if pattern.endswith(BELOW):
        return repository.startswith(pattern[:-1]) and len(repository) > len(pattern) - 1
    return repository == pattern


@lru_cache(maxsize=4096)
def _fingerprint(keys: tuple[str, ...], keyless: tuple[Signer, ...]) -> str:
    digest = hashlib.sha256()
    for kind, *parts in (
        *(("key", key.strip()) for key in sorted(keys)),
        *(("keyless", each.issuer, each.identity) for each in sorted(keyless)),
    ):
        for part in (kind, *parts):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Held:
    """An answer, and until when (seconds since the epoch) it counts."""

    answer: Answer
    until: float


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """An image (``registry/repository@sha256:…``) that somebody wants to run and whose signatures are not known."""

    namespace: str
    image: str
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its ImageVerdict."""
        return verdict_name(self.image)


class Verdicts(Protocol):
    """What is known of the images of one namespace."""

    def held(self, image: str, fingerprint: str) -> Held | None:
        """The answer for an image (``registry/repository@sha256:…``) to the rule of this fingerprint, if any."""
        ...


@lru_cache(maxsize=4096)
def verdict_name(image: str) -> str:
    """The name of the ImageVerdict for an image; it follows from the image, so that it is found without a search."""
    return hashlib.sha256(image.encode()).hexdigest()[:40]
