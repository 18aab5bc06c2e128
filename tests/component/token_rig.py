"""Issuers with keys of their own, their tokens, good and forged in every way that is known, and rules about them."""

import base64
import hashlib
import hmac
import json
import math
import random
import secrets
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from ringfence.api.v1alpha1 import jwks
from ringfence.model.requests import Request, Requests
from ringfence.model.resources import Action, Mode, PortSpec, Rule, SecurityPolicy
from ringfence.model.tokens import AUTHORIZATION, Issuer, TokenMatch, own_key, path
from ringfence.policy import tokens

from tests.component.request_rig import HTTP_PORT, OUTSIDE, WEB, Asked
from tests.unit.policy import making as policies
from tests.unit.policy.making import caller

#: Of the policy that declares the issuers.
POLICY = "p0"
SKEW, LIFE = 30, 7200


@dataclass(frozen=True)
class Signer:
    """An issuer with its private key, and how it says in which way it signs."""

    declared: Issuer
    private: Any
    algorithm: str
    kid: str

    @property
    def key(self) -> str:
        return own_key("shop", POLICY, self.declared.name)

    def token(self, *, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token as the issuer makes them, with these claims instead of the usual; None leaves one out."""
        found = {**self.payload(), **claims}
        kept = {name: value for name, value in found.items() if value is not None}
        return jwt.encode(kept, self.private, self.algorithm, {"kid": self.kid, **(headers or {})})

    def payload(self) -> dict[str, Any]:
        return {
            "iss": self.declared.issuer,
            "aud": self.declared.audiences[0],
            "sub": "alice",
            "exp": int(time.time()) + 3600,
        }

    def header(self, token: str) -> dict[str, tuple[str, ...]]:
        """Where the token belongs."""
        place = self.declared.header
        return {place: (f"Bearer {token}" if place == AUTHORIZATION else token,)}


def signer(name: str, algorithm: str, **declared: Any) -> Signer:
    """A new issuer that signs so."""
    private: Any
    match algorithm[:2]:
        case "RS" | "PS":
            private = rsa.generate_private_key(65537, 2048)
        case "ES":
            private = ec.generate_private_key({"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1()}[algorithm])
        case _:
            private = ed25519.Ed25519PrivateKey.generate()
    public = json.loads(get_default_algorithms()[algorithm].to_jwk(private.public_key()))
    kid = f"{name}-1"
    text = jwks.canonical(json.dumps({"keys": [{**public, "kid": kid}]}))
    made = {"issuer": f"https://{name}.example/", "audiences": ("pay", "pay.example"), "skew": SKEW}
    issuer = Issuer(name, jwks=text, max_lifetime=LIFE, **{**made, **declared})
    return Signer(issuer, private, algorithm, kid)


def signers() -> tuple[Signer, ...]:
    """One for each way to sign; corp and partner both in Authorization, user in a header of its own."""
    return (
        signer("corp", "ES256"),
        signer("partner", "RS256"),
        signer("user", "EdDSA", header="x-user-token", audiences=("pay",)),
    )


def part(value: Any) -> str:
    """A part of a token."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(by: Signer, algorithm: str = "none", signature: str = "", **claims: Any) -> str:
    head = {"alg": algorithm, "typ": "JWT", "kid": by.kid}
    return f"{part(head)}.{part({**by.payload(), **claims})}.{signature}"


def confused(by: Signer) -> str:
    """Signed by HMAC, with the issuer's public key as the secret: as PEM, which is what libraries took."""
    public = by.private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hmac_signed(by, public)


def hmac_signed(by: Signer, secret: bytes) -> str:
    told = unsigned(by, "HS256")[:-1]
    return f"{told}.{part(hmac.new(secret, told.encode(), hashlib.sha256).digest())}"


@dataclass(frozen=True)
class ShortRsa:
    """A key that libraries no longer make, and what an issuer signs by it (PKCS #1 v1.5, RFC 8017 section 9.2)."""

    by: Signer
    modulus: int
    secret: int

    @classmethod
    def of(cls, by: Signer, bits: int) -> "ShortRsa":
        while True:
            p, q = (_prime(bits // 2) for _ in range(2))
            if (p * q).bit_length() == bits and math.gcd(65537, (p - 1) * (q - 1)) == 1:
                return cls(by, p * q, pow(65537, -1, (p - 1) * (q - 1)))

    @property
    def _size(self) -> int:
        return (self.modulus.bit_length() + 7) // 8

    @property
    def kid(self) -> str:
        return f"rsa-{self.modulus.bit_length()}"

    @property
    def jwk(self) -> dict[str, str]:
        return {"kty": "RSA", "kid": self.kid, "n": part(self.modulus.to_bytes(self._size, "big")), "e": "AQAB"}

    def token(self) -> str:
        told = f"{part({'alg': 'RS256', 'kid': self.kid})}.{part(self.by.payload())}"
        digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(told.encode()).digest()
        padded = b"\0\1" + b"\xff" * (self._size - len(digest) - 3) + b"\0" + digest
        signature = pow(int.from_bytes(padded, "big"), self.secret, self.modulus)
        return f"{told}.{part(signature.to_bytes(self._size, 'big'))}"


def _prime(bits: int) -> int:
    """One whose two highest bits are set, as far as Fermat's test tells."""
    while True:
        found = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if all(pow(base, found - 1, found) == 1 for base in (2, 3, 5, 7)):
            return found


def tampered(token: str) -> str:
    """The signature of another token under these claims."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{part({**claims, 'sub': 'root'})}.{signature}"


SCOPES = ("read", "write", "admin")
#: Values of claims as issuers write them, odd ones among them.
_VALUES: tuple[Any, ...] = (
    "read", "write", "read write", "admin", "", " ", "read  write", ["read"], ["write", "admin"], [], ["read write"],
    True, False, "true", "false", [True], 1, ["read", 1], [["read"]], {"read": "write"}, [{"a": "read"}],
    {"roles": ["read"]}, {"roles": {"roles": "read"}}, {".": {"scope": "read write"}},
    {"roles": [{"read": 1}]}, {"": "read"},
    "readwrite",
    "Read", "READ", "r\u00e9ad", "read\n", "read\x00", ["\u0000", "write"], [""], "read\u00a0write", 1.5, -1, "1",
    [None], ["read", None], "\u202eread", "read\twrite", [True, "read"], [False],
    3, 3.0, "3", [3], 3.5, -3, 2**53, 10**20, 1e-7, 0, -0.0, [3, "x"], "3.0", 2**53 + 1, 1.7976931348623157e308,
)  # fmt: skip
CLAIMS = (
    "scope", "scp", "role", "https://x.example/roles", "email_verified", "realm\u203aroles", "realm\u203a.\u203ascope",
    "realm.roles", "role\u203aread", "sub", "aud",
)  # fmt: skip


def put(payload: dict[str, Any], claim: str, value: Any) -> None:
    """Give a payload a claim, with the objects around it; what stands in their place goes."""
    *above, last = path(claim)
    for name in above:
        if not isinstance(payload.get(name), dict):
            payload[name] = {}
        payload = payload[name]
    # Of its own: another claim may be put into this one, which would else change the values that are drawn from.
    payload[last] = deepcopy(value)


def _for_us(by: Signer, payload: Mapping[str, Any]) -> bool:
    """Whether one of a token's audiences is among the issuer's."""
    meant = payload["aud"] if isinstance(payload["aud"], list) else [payload["aud"]]
    return not set(by.declared.audiences).isdisjoint(meant)


class Draw:
    """Draws rules about tokens, and requests with tokens."""

    def __init__(self, seed: int, known: tuple[Signer, ...]) -> None:
        self._random = random.Random(seed)  # noqa: S311 (which cases are tried)
        self.known = known

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def policies(self) -> tuple[SecurityPolicy, ...]:
        """One that declares the issuers."""
        rules = tuple(self._rule(f"r{n}") for n in range(self._random.randint(1, 4)))
        made = policies.policy(POLICY, ingress=rules, mode=Mode.ENFORCE if self._chance(0.9) else Mode.AUDIT)
        return (replace(made, spec=replace(made.spec, issuers=tuple(each.declared for each in self.known))),)

    def _rule(self, name: str) -> Rule:
        action = Action.DENY if self._chance(0.35) else Action.ALLOW
        peers = self._random.choice(((caller("web"),), (caller("web"), caller("api")), None, None))
        return Rule(name, action, peers, (PortSpec(HTTP_PORT),), self._requests(action) if self._chance(0.9) else None)

    def _requests(self, action: Action) -> Requests:
        key = self._random.choice(self.known).key if self._chance(0.96) else ":cluster/unknown"
        if self._chance(0.12):
            return Requests(token=TokenMatch(key, absent=True))
        least = 1 if action is Action.DENY else 0
        names = self._random.sample(CLAIMS, self._random.choice((least, 1, 1, 1, 2)))
        claims = tuple(sorted((name, self._wanted(name)) for name in names))
        return Requests(token=TokenMatch(key, claims))

    def _wanted(self, name: str) -> tuple[str, ...]:
        if name == "aud":
            return self._random.choice((("pay",), ("pay.example",), ("other", "pay")))
        if name == "sub":
            return self._random.choice((("alice",), ("bob",)))
        among = (
            ("true", "false", "read")
            if name == "email_verified"
            else (*SCOPES, "read write", "true", "3", "3.5", "-3", "0", "1", "1e+20", "9007199254740992.0")
        )
        return tuple(sorted(self._random.sample(among, self._random.randint(1, 2))))

    def asked(self, written: tuple[SecurityPolicy, ...]) -> Asked:
        """A request with any tokens, in mutual TLS mostly; what the issuers' keys say of them stands in ``tokens``."""
        source, shown = self._random.choice(((WEB, True), (WEB, True), (WEB, True), (OUTSIDE, False)))
        headers: dict[str, tuple[str, ...]] = {}
        found: dict[str, Any] = {}
        about = [
            r.requests.token for each in written for r in each.spec.ingress or () if r.requests and r.requests.token
        ]
        wanted = self._random.choice(about) if about and self._chance(0.8) else None
        by = next((each for each in self.known if wanted is not None and each.key == wanted.issuer), None)
        for each in (by,) if by is not None else self._random.sample(self.known, self._random.randint(0, 2)):
            payload = self._payload(each, wanted)
            token, good = self._signed(each, payload)
            place = self._placed(each, token, headers)
            found[each.key] = tokens.claims(payload) if good and place else None
        request = Request(path="/a", host="pay.shop", headers=headers, tokens=found)
        return Asked(request, source, shown, self._chance(0.2))

    def _payload(self, by: Signer, wanted: TokenMatch | None) -> dict[str, Any]:
        payload = by.payload()
        if wanted is not None and wanted.issuer == by.key and self._chance(0.8):
            for name, values in wanted.claims:
                value = self._random.choice(values)
                # A proxy takes no token whose subject is no text (RFC 7519 section 4.1.2).
                put(payload, name, [value] if self._chance(0.3) and name != "sub" else value)
        for name in self._random.sample(CLAIMS[:-2], self._random.choice((0, 0, 1, 2))):
            put(payload, name, self._random.choice(_VALUES))
        if self._chance(0.5):
            payload["iat"] = payload["exp"] - self._random.choice((LIFE, LIFE - 0.5, 3600, 3600 - SKEW + 15))
        if self._chance(0.2):
            payload["aud"] = self._random.choice((list(by.declared.audiences), ["other", by.declared.audiences[0]]))
        return payload

    def _signed(self, by: Signer, payload: dict[str, Any]) -> tuple[str, bool]:
        """A token with these claims, and whether it is good."""
        if self._chance(0.75):
            return by.token(**payload), _for_us(by, payload)
        now = int(time.time())
        other = next(each for each in self.known if each is not by)
        ways: tuple[tuple[str, bool], ...] = (
            (by.token(**payload | {"exp": None}), False),
            (by.token(**payload | {"exp": now - SKEW - 20}), False),
            (by.token(**payload | {"exp": now + LIFE + 600}), False),
            (by.token(**payload | {"nbf": now + SKEW + 60}), False),
            (by.token(**payload | {"iat": payload["exp"] - LIFE - self._random.choice((1, 600, 10**6))}), False),
            (by.token(**payload | {"iat": now + SKEW + 60}), False),
            (by.token(**payload | {"aud": "other"}), False),
            (by.token(**payload | {"aud": None}), False),
            (by.token(**payload | {"iss": other.declared.issuer}), False),
            (by.token(**payload | {"iss": None}), False),
            (replace(other, kid=by.kid).token(**payload), False),
            (by.token(headers={"kid": "unknown"}, **payload), False),
            (by.token(headers={"crit": ["x"]}, **payload), False),
            (
                by.token(headers={"crit": self._random.choice(([], [[]], {}, None, "exp", ["exp", "x"]))}, **payload),
                False,
            ),
            (unsigned(by, **payload), False),
            (tampered(by.token(**payload)), False),
            (confused(by), False),
            ("a.b.c", False),
            ("", False),
        )
        return self._random.choice(ways)

    def _placed(self, by: Signer, token: str, headers: dict[str, tuple[str, ...]]) -> bool:
        """Put a token where it belongs, or not; whether a proxy may find it good there."""
        place = by.declared.header
        (usual,) = by.header(token)[place]
        if self._chance(0.85):
            taken = place in headers
            headers[place] = (*headers.get(place, ()), usual)
            return not taken
        odd = self._random.choice(
            (
                (f"{usual},{usual}",),
                (usual, usual),
                (f"{usual} x",),
                (f"x {usual}",),
                (f"{usual}=",),
                (usual.lower(),),
                (f"{usual}\udcff",),
            )
        )
        if self._chance(0.2):
            headers["x_user_token"] = (token,)
            return False
        headers[place] = odd
        # Of the same bytes, and alone: only where small letters were all that it had.
        return odd == (usual,)
