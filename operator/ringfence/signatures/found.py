"""What a registry holds beside an image, in the two forms that signers write; nothing here is trusted yet."""

from dataclasses import dataclass

from ringfence.model.errors import RingfenceError


class NotVerified(RingfenceError):
    """This signature is not what the rule asks for; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class SimpleSigning:
    """A layer of a signature manifest (``sha256-….sig``, or a referrer of the older kind) with its annotations.

    ``payload`` is what was signed; ``certificate`` (PEM) and ``log`` (JSON) are there for keyless signatures only.
    """

    payload: bytes
    signature: bytes
    certificate: bytes = b""
    log: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A Sigstore bundle (JSON), as referrers carry it."""

    document: bytes


Found = SimpleSigning | Bundle
