"""Keys: of the algorithm asked for, and never shown."""

import logging

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from ringfence.model.certificates import KeyAlgorithm
from ringfence.pki import encoding, keys, store
from ringfence.pki.backup import Backup
from ringfence.pki.encoding import BadCertificate, Pair
from ringfence.pki.local_signer import LocalSigner

from tests.unit.pki.material import idle, key, root


@pytest.mark.parametrize("algorithm", list(KeyAlgorithm))
def test_a_key_is_of_its_algorithm(algorithm: KeyAlgorithm) -> None:
    made = key(algorithm)
    private = encoding.private_key(made.pem)
    assert keys.algorithm_of(private.public_key()) == algorithm
    assert encoding.public_der(private.public_key()) == made.public_der
    assert len(made.public_der) <= keys.MAX_PUBLIC_KEY_BYTES


def test_keys_differ() -> None:
    assert keys.generate(KeyAlgorithm.ECDSA_P256).pem != keys.generate(KeyAlgorithm.ECDSA_P256).pem


def test_other_algorithms_are_named_as_they_are() -> None:
    assert keys.algorithm_of(ec.generate_private_key(ec.SECP521R1()).public_key()) == "ECDSA-P521"
    assert keys.algorithm_of(ec.generate_private_key(ec.SECP256K1()).public_key()) == "ECDSA-secp256k1"
    small = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert keys.algorithm_of(small.public_key()) == "RSA-2048"


def test_no_value_that_holds_a_key_shows_it(caplog: pytest.LogCaptureFixture) -> None:
    holders = [
        key(),
        root(),
        idle(),
        Pair(b"certificate", key().pem),
        LocalSigner(root()),
        Backup(store.encode(idle()), "mesh.example", "ab", "now"),
    ]
    with caplog.at_level(logging.INFO):
        for holder in holders:
            logging.getLogger("ringfence").info("%s %r", holder, [holder])
    shown = caplog.text + "".join(f"{holder!r}{holder!s}{holder}" for holder in holders)
    secret_lines = {
        line for pem in (key().pem, root().key) for line in pem.decode().splitlines() if not line.startswith("-----")
    }
    assert not [line for line in secret_lines if line in shown]
    assert "PRIVATE" not in shown


@pytest.mark.parametrize("text", [b"", b"nothing", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_be_read_is_not_quoted(text: bytes) -> None:
    with pytest.raises(BadCertificate) as raised:
        encoding.private_key(text)
    assert raised.value.__cause__ is None
    assert str(raised.value) == "the private key cannot be read"


def test_an_encrypted_key_and_a_key_of_another_kind_are_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    private = encoding.private_key(key().pem)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(BadCertificate, match="cannot be read"):
        encoding.private_key(locked)
    with pytest.raises(BadCertificate, match="neither"):
        encoding.private_key(other)
