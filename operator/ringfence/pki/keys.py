"""Private keys of identities: made here, carried without ever being shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ringfence.model.certificates import KeyAlgorithm
from ringfence.pki import encoding
from ringfence.pki.encoding import PrivateKeyType, PublicKeyType

#: Most bytes of a SubjectPublicKeyInfo that is looked at: RSA-3072 needs 422. Bigger keys cost whoever checks them.
MAX_PUBLIC_KEY_BYTES: Final = 1024
_P256, _P384 = ec.SECP256R1(), ec.SECP384R1()
#: The one exponent in use (FIPS 186-5 §5.1 asks for at least 65537; bigger ones only cost).
RSA_EXPONENT: Final = 65537


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """A private key in PEM (PKCS #8, not encrypted) and its public key (SubjectPublicKeyInfo, DER).

    Python cannot wipe memory: the bytes live until they are collected. repr shows nothing.
    """

    pem: bytes
    public_der: bytes

    def __repr__(self) -> str:
        return "PrivateKey(...)"


#: Makes a key of an algorithm; ``generate``, or keys from elsewhere.
KeyMaker = Callable[[KeyAlgorithm], PrivateKey]


def _rsa_3072() -> PrivateKeyType:
    return rsa.generate_private_key(public_exponent=RSA_EXPONENT, key_size=3072)


def _p256() -> PrivateKeyType:
    return ec.generate_private_key(_P256)


def _p384() -> PrivateKeyType:
    return ec.generate_private_key(_P384)


_MAKERS: Final[Mapping[KeyAlgorithm, Callable[[], PrivateKeyType]]] = {
    KeyAlgorithm.ECDSA_P256: _p256,
    KeyAlgorithm.ECDSA_P384: _p384,
    KeyAlgorithm.RSA_3072: _rsa_3072,
}


def generate(algorithm: KeyAlgorithm) -> PrivateKey:
    """A new key from the operating system's random numbers (by OpenSSL). RSA takes up to seconds: use a thread."""
    key = _MAKERS[algorithm]()
    return PrivateKey(encoding.key_pem(key), encoding.public_der(key.public_key()))


def algorithm_of(key: PublicKeyType) -> str:
    """The algorithm with its size, as KeyAlgorithm writes it; also for keys that Ringfence does not use."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA-{key.key_size}"
    # secp256k1 has as many bits as P-256 (secp256r1) and is another curve.
    return f"ECDSA-P{key.key_size}" if key.curve.name == f"secp{key.key_size}r1" else f"ECDSA-{key.curve.name}"
