"""Public keys of issuers as JSON (RFC 7517): read strictly, and written so that equal keys are equal text.

Proxies are given nothing else, so that whatever they could choke on, or take for a secret that signs, is refused here.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.api import wording
from ringfence.api.schema import Complaint

MAX_KEYS: Final = 16
#: Sizes of RSA moduli, in bits; exponents by FIPS 186-5 section 5.4, and no more than proxies take.
_RSA_BITS: Final = (2048, 4096)
_EXPONENTS: Final = range(65537, 2**32)

#: Members of keys that sign (RFC 7518 section 6).
_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final[Mapping[str, tuple[str, int, ec.EllipticCurve]]] = {
    "P-256": ("ES256", 32, ec.SECP256R1()),
    "P-384": ("ES384", 48, ec.SECP384R1()),
    "P-521": ("ES512", 66, ec.SECP521R1()),
}
_MAX_ID: Final = 256


class _Bad(Exception):
    """What is wrong with the keys, and what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.complaint = Complaint(message, fix)


def complaint(text: str) -> Complaint | None:
    """What is wrong with a JSON Web Key Set, None where nothing is. Says nothing of what stands in private parts."""
    try:
        _read(text)
    except _Bad as error:
        return error.complaint
    return None


def canonical(text: str) -> str:
    """The same keys without what nobody needs, in one way; of a text about which there is no complaint."""
    return json.dumps({"keys": _read(text)}, sort_keys=True, separators=(",", ":"))


def _read(text: str) -> list[dict[str, str]]:
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError as error:
        raise _Bad("is nested too deeply", "paste what the issuer serves at its jwks_uri") from error
    except ValueError as error:
        raise _Bad("is no JSON", "paste what the issuer serves at its jwks_uri") from error
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise _Bad("is no JSON Web Key Set", 'write {"keys": [{"kty": …}]}')
    if not 1 <= len(keys) <= MAX_KEYS:
        raise _Bad(f"has {len(keys)} keys", f"give 1 to {MAX_KEYS}")
    made = [_key(each, f"keys[{number}]") for number, each in enumerate(keys)]
    ids = [each["kid"] for each in made if "kid" in each]
    if len(set(ids)) < len(ids):
        raise _Bad("has two keys with one kid", "give each its own")
    return made


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Bad(f"has {wording.shown(name)} twice in one object", "leave one of them")
        found[name] = value
    return found


def _constant(_: str) -> None:
    raise _Bad("is no JSON", "leave NaN and Infinity out")


def _key(key: Mapping[str, Any], at: str) -> dict[str, str]:
    if key.get("kty") == "oct":
        raise _Bad(f"{at} is a symmetric key: whoever checks tokens with it can make them", "use RSA, EC or OKP keys")
    private = next((name for name in _PRIVATE if name in key), None)
    if private is not None:
        raise _Bad(
            f"{at} holds the private part {private}: whoever reads this can make tokens",
            "replace the key at the issuer, and paste public keys only",
        )
    kind = key.get("kty")
    read = _KINDS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise _Bad(f"{at}.kty is {wording.shown(kind)}", f"one of {', '.join(_KINDS)}")
    if key.get("use", "sig") != "sig" or (isinstance(key.get("key_ops"), list) and "verify" not in key["key_ops"]):
        raise _Bad(f"{at} is not for signatures", "leave it out")
    made = read(key, at)
    if "kid" in key:
        made["kid"] = _id(key["kid"], at)
    return made


def _id(value: Any, at: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_ID or not (value.isascii() and value.isprintable()):
        raise _Bad(f"{at}.kid is {wording.shown(value)}", f"give printable ASCII of at most {_MAX_ID} characters")
    return value


def _algorithm(key: Mapping[str, Any], allowed: tuple[str, ...], at: str) -> None:
    if "alg" in key and key["alg"] not in allowed:
        raise _Bad(f"{at}.alg is {wording.shown(key['alg'])}", f"one of {', '.join(allowed)} for such a key")


def _bytes(key: Mapping[str, Any], name: str, at: str) -> bytes:
    """No padding and no other alphabet (RFC 7515 section 2): a proxy would read it in another way."""
    value = key.get(name)
    try:
        data = base64.b64decode(f"{value}" + "=" * (-len(f"{value}") % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    if not data or base64.urlsafe_b64encode(data).rstrip(b"=").decode() != value:
        raise _Bad(f"{at}.{name} is no base64url without padding", "paste the key as the issuer serves it")
    return data


def _rsa(key: Mapping[str, Any], at: str) -> dict[str, str]:
    _algorithm(key, _RSA, at)
    modulus, exponent = (int.from_bytes(_bytes(key, name, at), "big") for name in ("n", "e"))
    least, most = _RSA_BITS
    if not least <= modulus.bit_length() <= most or not modulus % 2:
        raise _Bad(f"{at} is an RSA key of {modulus.bit_length()} bits", f"use one of {least} to {most} bits")
    if exponent not in _EXPONENTS or not exponent % 2:
        raise _Bad(f"{at}.e is no exponent that is safe", "use a key with 65537, as all do")
    made = {"kty": "RSA", "n": key["n"], "e": key["e"]}
    return {**made, "alg": key["alg"]} if "alg" in key else made


def _ec(key: Mapping[str, Any], at: str) -> dict[str, str]:
    name = key.get("crv")
    if not isinstance(name, str) or name not in _CURVES:
        raise _Bad(f"{at}.crv is {wording.shown(name)}", f"one of {', '.join(_CURVES)}")
    algorithm, size, curve = _CURVES[name]
    _algorithm(key, (algorithm,), at)
    x, y = _bytes(key, "x", at), _bytes(key, "y", at)
    try:
        ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()
    except ValueError as error:
        raise _Bad(f"{at} is no point of {name}", "paste the key as the issuer serves it") from error
    if len(x) != size or len(y) != size:
        raise _Bad(f"{at} has coordinates of another length than {name}", "paste the key as the issuer serves it")
    return {"kty": "EC", "crv": name, "x": key["x"], "y": key["y"], "alg": algorithm}


def _okp(key: Mapping[str, Any], at: str) -> dict[str, str]:
    if key.get("crv") != "Ed25519":
        raise _Bad(f"{at}.crv is {wording.shown(key.get('crv'))}", "use Ed25519")
    _algorithm(key, ("EdDSA",), at)
    if len(_bytes(key, "x", at)) != 32:
        raise _Bad(f"{at}.x is no key of Ed25519", "paste the key as the issuer serves it")
    return {"kty": "OKP", "crv": "Ed25519", "x": key["x"], "alg": "EdDSA"}


_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any], str], dict[str, str]]]] = {"RSA": _rsa, "EC": _ec, "OKP": _okp}
