"""The part of a Sigstore bundle that a signature by a key needs: the envelope or the message, and the signature.

Bundles with a certificate are read by sigstore-python (``keyless``); a key in a bundle is a hint only and is not read.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ringfence.signatures.found import NotVerified

#: Bytes of a bundle at most: one with a certificate, a proof and a statement has ten thousand.
MAX_BUNDLE: Final = 512 * 1024
_MEDIA_TYPES: Final = frozenset(
    {
        "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.sigstore.bundle+json;version=0.3",
        "application/vnd.dev.sigstore.bundle.v0.3+json",
    }
)


class _Struct(msgspec.Struct, frozen=True, rename="camel"):
    """JSON's spelling outside, Python's inside; unknown fields are skipped."""


class _Signature(_Struct, frozen=True):
    sig: str


class _Envelope(_Struct, frozen=True):
    payload: str
    payload_type: str
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=1)]


class _Message(_Struct, frozen=True):
    signature: str


class _Bundle(_Struct, frozen=True):
    media_type: str
    message_signature: _Message | None = None
    dsse_envelope: _Envelope | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A DSSE envelope with its one signature."""

    payload_type: str
    payload: bytes
    signature: bytes

    @property
    def signed(self) -> bytes:
        """What the signature is over (DSSE's pre-authentication encoding)."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


@dataclass(frozen=True, slots=True)
class Message:
    """A signature over content that the bundle does not hold."""

    signature: bytes


def read(document: bytes) -> Envelope | Message:
    """What a bundle signs; raises NotVerified."""
    if len(document) > MAX_BUNDLE:
        raise NotVerified(f"the bundle is larger than {MAX_BUNDLE // 1024} KiB")
    try:
        bundle = _decoder.decode(document)
        if bundle.media_type not in _MEDIA_TYPES:
            raise NotVerified(f"the bundle is {ascii(bundle.media_type)[:100]}, which is unknown")
        if (bundle.message_signature is None) == (bundle.dsse_envelope is None):
            raise NotVerified("the bundle must hold either an envelope or a message's signature")
        if bundle.message_signature is not None:
            return Message(_decoded(bundle.message_signature.signature))
        envelope = bundle.dsse_envelope
        assert envelope is not None  # noqa: S101 (one of the two, said above)
        return Envelope(envelope.payload_type, _decoded(envelope.payload), _decoded(envelope.signatures[0].sig))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, binascii.Error) as error:
        raise NotVerified(f"the bundle cannot be read: {error}") from error


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.encode(), validate=True)


_decoder: Final = msgspec.json.Decoder(_Bundle)
