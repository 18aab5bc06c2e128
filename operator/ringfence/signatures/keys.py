"""Signatures by a key that a policy names, verified with ``cryptography`` alone: no certificate, no log.

The algorithm follows from the key, never from what is being verified.
"""

import hashlib
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from ringfence.model.errors import RingfenceError
from ringfence.signatures.found import NotVerified

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

#: Bits of an RSA key. Above the highest a check would take long enough to be a way to stop the worker.
_RSA_BITS: Final = range(2048, 8192 + 1)
#: Signers hash with SHA-256 whatever the curve, or with what is as long as the curve.
_CURVES: Final[dict[str, tuple[hashes.HashAlgorithm, ...]]] = {
    "secp256r1": (hashes.SHA256(),),
    "secp384r1": (hashes.SHA256(), hashes.SHA384()),
    "secp521r1": (hashes.SHA256(), hashes.SHA512()),
}


class BadKey(RingfenceError):
    """A public key that cannot be used; the message says why and what to give."""


@lru_cache(maxsize=1024)
def load(pem: str) -> PublicKey:
    """The key of a PEM text (``BEGIN PUBLIC KEY``); raises BadKey."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadKey("is no public key in PEM: give what `cosign public-key` prints") from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise BadKey("is a key of a kind that is not accepted: give ECDSA (P-256, P-384, P-521), RSA from 2048 or Ed25519")


def verify(key: PublicKey, signature: bytes, data: bytes) -> None:
    """Raises NotVerified unless ``signature`` is ``key``'s over ``data``."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        try:
            key.verify(signature, data)
        except InvalidSignature as error:
            raise _wrong() from error
        return
    _verify_any(key, signature, data, None)


def verify_digest(key: PublicKey, signature: bytes, digest: bytes) -> None:
    """The same over what has this SHA-256; raises NotVerified, for Ed25519 always: it signs no digests."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        raise NotVerified("an Ed25519 key does not sign digests")
    _verify_any(key, signature, b"", digest)


def _verify_any(
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: bytes, data: bytes, digest: bytes | None
) -> None:
    algorithms = _CURVES[key.curve.name] if isinstance(key, ec.EllipticCurvePublicKey) else (hashes.SHA256(),)
    for algorithm in algorithms if digest is None else algorithms[:1]:
        hashed = digest if digest is not None else hashlib.new(algorithm.name, data).digest()
        prehashed = utils.Prehashed(algorithm)
        try:
            if isinstance(key, ec.EllipticCurvePublicKey):
                key.verify(signature, hashed, ec.ECDSA(prehashed))
            else:
                key.verify(signature, hashed, padding.PKCS1v15(), prehashed)
        except InvalidSignature:
            continue
        return
    raise _wrong()


def _wrong() -> NotVerified:
    return NotVerified("the signature is not by this key, or not over this content")
