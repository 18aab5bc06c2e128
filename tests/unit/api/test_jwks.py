"""Keys of issuers: only public ones, for signatures, that proxies can use, written in one way."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from ringfence import api
from ringfence.api.v1alpha1 import jwks
from ringfence.model.errors import InvalidResource

from tests.unit.api import corpus_making as making


def public(algorithm: str, key: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key))
    return found


RSA = public("RS256", rsa.generate_private_key(65537, 2048).public_key())
P256 = public("ES256", ec.generate_private_key(ec.SECP256R1()).public_key())
P384 = public("ES384", ec.generate_private_key(ec.SECP384R1()).public_key())
P521 = public("ES512", ec.generate_private_key(ec.SECP521R1()).public_key())
ED25519 = public("EdDSA", ed25519.Ed25519PrivateKey.generate().public_key())


def said(*keys: Any, **changes: Any) -> str:
    """What is said of these keys, the first with changes."""
    first, *others = keys or (P256,)
    complaint = jwks.complaint(json.dumps({"keys": [{**first, **changes}, *others]}))
    return "" if complaint is None else f"{complaint.message} ({complaint.fix})"


@pytest.mark.parametrize("key", [RSA, P256, P384, P521, ED25519], ids=["RSA", "P-256", "P-384", "P-521", "Ed25519"])
def test_good_keys_are_taken_and_keep_nothing_that_nobody_needs(key: dict[str, Any]) -> None:
    whole = {**key, "kid": "one", "use": "sig", "x5c": ["AAAA"], "key_ops": ["verify"], "x": key.get("x", "")}
    (made,) = json.loads(jwks.canonical(json.dumps({"keys": [whole], "more": 1})))["keys"]
    assert made["kid"] == "one"
    assert {"kty", "n", "e", "crv", "x", "y", "kid", "alg"} >= set(made)
    assert {name: made[name] for name in key if name in made} == {n: v for n, v in key.items() if n in made}


def test_equal_keys_are_equal_text_however_they_are_written() -> None:
    one = jwks.canonical(json.dumps({"keys": [{**P256, "kid": "a"}]}, indent=4))
    other = jwks.canonical(json.dumps({"keys": [{"kid": "a", **dict(reversed(P256.items()))}]}))
    assert one == other


def test_the_way_to_sign_follows_from_an_elliptic_key() -> None:
    (made,) = json.loads(jwks.canonical(json.dumps({"keys": [P256]})))["keys"]
    assert made["alg"] == "ES256"


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kty": "oct", "k": "c2VjcmV0"}, "keys[0] is a symmetric key"),
        ({"d": "c2VjcmV0"}, "keys[0] holds the private part d"),
        ({"k": "c2VjcmV0"}, "keys[0] holds the private part k"),
        ({"kty": "ec"}, 'keys[0].kty is "ec"'),
        ({"kty": None}, "keys[0].kty is null"),
        ({"kty": ["EC"]}, "keys[0].kty is"),
        ({"use": "enc"}, "keys[0] is not for signatures"),
        ({"key_ops": ["wrapKey"]}, "keys[0] is not for signatures"),
        ({"alg": "HS256"}, 'keys[0].alg is "HS256" (one of ES256'),
        ({"alg": "none"}, 'keys[0].alg is "none"'),
        ({"alg": "RS256"}, 'keys[0].alg is "RS256"'),
        ({"crv": "secp256k1"}, 'keys[0].crv is "secp256k1"'),
        ({"crv": "P-384"}, "keys[0] is no point of P-384"),
        ({"x": P256["y"]}, "keys[0] is no point of P-256"),
        ({"x": "AA" + P256["x"]}, "keys[0]"),
        ({"x": P256["x"] + "="}, "keys[0].x is no base64url"),
        ({"x": "+" + P256["x"][1:]}, "keys[0].x is no base64url"),
        ({"x": ""}, "keys[0].x is no base64url"),
        ({"x": 1}, "keys[0].x is no base64url"),
        ({"x": "\u00e9"}, "keys[0].x is no base64url"),
        ({"kid": 1}, "keys[0].kid is 1"),
        ({"kid": ""}, "keys[0].kid"),
        ({"kid": "a\n"}, "keys[0].kid"),
        ({"kid": "a" * 257}, "keys[0].kid"),
    ],
)
def test_what_is_no_public_key_for_signatures_is_refused(changes: dict[str, Any], words: str) -> None:
    assert said(**changes).startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": number((1 << 1023) | 1)}, "keys[0] is an RSA key of 1024 bits"),
        ({"n": number((1 << 4096) | 1)}, "keys[0] is an RSA key of 4097 bits"),
        ({"n": number(1 << 2047)}, "keys[0] is an RSA key of 2048 bits"),
        ({"e": "AQ"}, "keys[0].e is no exponent that is safe"),
        ({"e": "Aw"}, "keys[0].e is no exponent that is safe"),
        ({"e": number(1 << 33 | 1)}, "keys[0].e is no exponent that is safe"),
        ({"alg": "ES256"}, 'keys[0].alg is "ES256"'),
        ({"p": "AQ"}, "keys[0] holds the private part p"),
    ],
)
def test_rsa_keys_are_long_enough_and_not_too_long(changes: dict[str, Any], words: str) -> None:
    assert said(RSA, **changes).startswith(words)


def test_an_edwards_key_is_of_ed25519() -> None:
    assert said(ED25519, crv="Ed448") == 'keys[0].crv is "Ed448" (use Ed25519)'
    assert said(ED25519, x="AAAA").startswith("keys[0].x is no key of Ed25519")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("-----BEGIN PUBLIC KEY-----", "is no JSON"),
        ("[" * 10000, "is nested too deeply"),
        ("[]", "is no JSON Web Key Set"),
        ("{}", "is no JSON Web Key Set"),
        ('{"keys": {}}', "is no JSON Web Key Set"),
        ('{"keys": [1]}', "is no JSON Web Key Set"),
        ('{"keys": []}', "has 0 keys"),
        ('{"keys": [], "keys": []}', 'has "keys" twice in one object'),
        ('{"keys": NaN}', "is no JSON"),
        (json.dumps({"keys": [P256] * 17}), "has 17 keys"),
        (json.dumps({"keys": [{**P256, "kid": "a"}, {**RSA, "kid": "a"}]}), "has two keys with one kid"),
    ],
)
def test_what_is_no_key_set_is_refused(text: str, words: str) -> None:
    complaint = jwks.complaint(text)
    assert complaint is not None
    assert complaint.message.startswith(words)


def test_a_refusal_names_the_field_and_not_the_secret() -> None:
    with pytest.raises(InvalidResource) as caught:
        api.parse(making.issuer(jwks=making.jwks({**making.JWK, "d": "secretsecret"})))
    (error,) = caught.value.errors
    assert error.path == "spec.jwtIssuers[0].jwks"
    assert "holds the private part d" in error.message
    assert "secretsecret" not in str(error)
