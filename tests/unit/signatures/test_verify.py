"""Rules against what a registry holds: one good signature is enough, and nothing else is."""

from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from ringfence.model.signatures import SignatureReason, SignatureRule, Signer
from ringfence.signatures import keyless, keys, verify
from ringfence.signatures.found import Bundle, Found, NotVerified, SimpleSigning

from tests.unit.signatures import authority as a
from tests.unit.signatures.authority import DIGEST, IDENTITY, ISSUER

KEY, OTHER = a.new_key(), a.new_key()
RULE = SignatureRule("mine", ("*",), keys=(a.pem(KEY),))


@pytest.mark.parametrize("found", [a.key_simple(KEY), a.key_bundle(KEY)], ids=["older", "bundle"])
def test_a_signature_by_the_key_answers_the_rule(found: Found) -> None:
    assert verify.verify(RULE, DIGEST, [found], None).verified


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    found = [Bundle(b"garbage"), a.key_simple(OTHER), SimpleSigning(b"", b""), a.key_bundle(KEY)]
    rule = SignatureRule("any", ("*",), keys=(a.pem(a.new_key()), a.pem(KEY)))
    assert verify.verify(rule, DIGEST, found, None).verified


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (a.key_simple(OTHER), "not by this key"),
        (a.key_bundle(OTHER), "not by this key"),
        (a.key_simple(KEY, a.simple_payload(a.OTHER_DIGEST)), "another image"),
        (a.key_bundle(KEY, a.statement(a.OTHER_DIGEST)), "another image"),
        (a.key_simple(KEY, b"x" * 70_000), "larger than"),
        (a.key_simple(KEY, b"[" * 60_000), "no JSON"),
        (a.key_simple(KEY, a.simple_payload().replace(b'{"critical"', b'{"critical": 1, "critical"')), "twice"),
        (a.key_simple(KEY, b'{"critical": {"image": 1}}'), "no critical.image"),
        (a.key_bundle(KEY, a.statement(predicate="https://cyclonedx.org/bom")), "no signature of an image"),
        (SimpleSigning(a.simple_payload(), b""), "not by this key"),
        (SimpleSigning(a.simple_payload() + b" ", a.key_simple(KEY).signature), "not by this key"),
    ],
)
def test_anything_else_is_refused_with_the_reason(found: Found, why: str) -> None:
    answer = verify.verify(RULE, DIGEST, [found], None)
    assert answer.reason is SignatureReason.NOT_TRUSTED
    assert why in answer.message


def test_no_signature_is_told_from_a_wrong_one() -> None:
    assert verify.verify(RULE, DIGEST, [], None).reason is SignatureReason.NOT_SIGNED


def test_a_key_does_not_stand_in_for_a_signer_nor_a_signer_for_a_key() -> None:
    trusted = a.authority()
    root = keyless.TrustRoot(trusted.trusted_root())
    certified = trusted.certify()
    signed: list[Found] = [trusted.simple(certified), a.document(trusted.bundle(certified))]
    rule = SignatureRule("signer", ("*",), keyless=(Signer(ISSUER, "somebody"), Signer(ISSUER, IDENTITY)))
    assert verify.verify(rule, DIGEST, signed, root).verified
    assert not verify.verify(RULE, DIGEST, signed, root).verified
    assert not verify.verify(rule, DIGEST, [a.key_simple(KEY), a.key_bundle(KEY)], root).verified


def test_without_a_trust_root_no_signer_is_trusted() -> None:
    rule = SignatureRule("signer", ("*",), keyless=(Signer(ISSUER, IDENTITY),))
    answer = verify.verify(rule, DIGEST, [a.key_simple(KEY)], None)
    assert answer.reason is SignatureReason.NO_TRUST_ROOT


def test_a_message_has_a_bound() -> None:
    found = [a.key_simple(KEY, f'{{"critical": {{"image": {{}}, "type": {n}}}}}'.encode()) for n in range(40)]
    assert len(verify.verify(RULE, DIGEST, found, None).message) < 1000


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
_DATA = a.simple_payload()


@pytest.mark.parametrize(
    ("key", "sign"),
    [
        (ec.generate_private_key(ec.SECP384R1()), lambda key: key.sign(_DATA, ec.ECDSA(hashes.SHA256()))),
        (ec.generate_private_key(ec.SECP384R1()), lambda key: key.sign(_DATA, ec.ECDSA(hashes.SHA384()))),
        (ec.generate_private_key(ec.SECP521R1()), lambda key: key.sign(_DATA, ec.ECDSA(hashes.SHA512()))),
        (_RSA, lambda key: key.sign(_DATA, padding.PKCS1v15(), hashes.SHA256())),
        (ed25519.Ed25519PrivateKey.generate(), lambda key: key.sign(_DATA)),
    ],
    ids=["P-384", "P-384-SHA-384", "P-521", "RSA", "Ed25519"],
)
def test_keys_of_every_kind_that_signers_use(key: Any, sign: Any) -> None:
    public = keys.load(a.pem(key))
    signature = sign(key)
    keys.verify(public, signature, _DATA)
    for spoilt in (signature[:-1], signature[:-1] + bytes([signature[-1] ^ 1]), b""):
        with pytest.raises(NotVerified):
            keys.verify(public, spoilt, _DATA)
    with pytest.raises(NotVerified):
        keys.verify(public, signature, _DATA + b" ")


def test_weak_hashes_and_paddings_are_refused() -> None:
    public = keys.load(a.pem(_RSA))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
    for signature in (
        _RSA.sign(_DATA, padding.PKCS1v15(), hashes.SHA1()),  # noqa: S303
        _RSA.sign(_DATA, pss, hashes.SHA256()),
    ):
        with pytest.raises(NotVerified):
            keys.verify(public, signature, _DATA)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        a.pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505
        a.pem(ec.generate_private_key(ec.SECP256K1())),
        a.authority().root.pem.decode(),
    ],
    ids=["nothing", "garbage", "small", "curve", "certificate"],
)
def test_keys_that_cannot_be_used_are_said(pem: str) -> None:
    with pytest.raises(keys.BadKey):
        keys.load(pem)


def test_a_signed_blob_is_the_manifest_itself() -> None:
    signature = a.b64(a.sign(KEY, b"an image"))
    document = {"mediaType": a.BUNDLE_TYPE, "messageSignature": {"signature": signature}}
    assert verify.verify(RULE, DIGEST, [a.document(document)], None).verified
    assert not verify.verify(RULE, a.OTHER_DIGEST, [a.document(document)], None).verified
