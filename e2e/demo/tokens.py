"""Tokens of end users: one with the scope that a rule asks for, one without, one that has ended, and none."""

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from e2e.cluster.progress import step
from e2e.demo import attempts, mesh
from e2e.demo.attempts import ALLOWED, DENIED, Row
from e2e.demo.client import Client, Object, until

GROUP = "tokens"
SPACE = "shop-mesh"
TARGET = "till"
PORT = 80
PATH = "/refunds"
SCOPE = "payments.refund"
ISSUER, AUDIENCE = "https://login.shop.example", "till"
_SETTLES = 30.0


class Issuer:
    """Somebody who signs tokens, with a key of their own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        """The public key as policies take it (RFC 7517)."""
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        return json.dumps({"keys": [{**public, "kid": "demo", "alg": "ES256", "use": "sig"}]})

    def token(self, *scopes: str, life: int = 600) -> str:
        """A token that is good for so many seconds from now on."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now - 60, "exp": now + life}
        return jwt.encode({**claims, "scope": " ".join(scopes)}, self._key, "ES256", {"kid": "demo"})


def show(admin: Client) -> list[Row]:
    """Tries what rules about tokens promise. Needs the programs of ``requests.show``."""
    issuer = Issuer()
    with step("a rule that asks for the token of an end user"):
        admin.apply([_policy(issuer)])
        until(lambda: _call(admin, issuer.token(SCOPE)) == "200", "the policy is in force", _SETTLES, every=1)
    with step("asking with tokens of several kinds"):
        good = ("--issuer=shop", f"--claim=scope={SCOPE}")
        tried: list[tuple[str, str, tuple[str, ...], str]] = [
            ("with the scope that it takes", issuer.token("profile", SCOPE), good, "200"),
            ("with another scope", issuer.token("profile"), ("--issuer=shop", "--claim=scope=profile"), "403"),
            ("with a token that has ended", issuer.token(SCOPE, life=-300), ("--bad-token",), "401"),
            ("with one that somebody else has signed", Issuer().token(SCOPE), ("--bad-token",), "401"),
            ("without a token", "", (), "403"),
        ]
        return [_row(admin, *each) for each in tried]


def _policy(issuer: Issuer) -> Object:
    rule = {
        "name": "refunds",
        "from": [{"identity": {"namespace": SPACE, "name": "web"}}],
        "ports": [mesh.HTTP],
        "http": [{"methods": ["POST"], "paths": [PATH]}],
        "jwt": {"issuer": "shop", "claims": {"scope": [SCOPE]}},
    }
    issuers = [{"name": "shop", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks": issuer.jwks}]
    return mesh.policy(SPACE, "refunds", TARGET, [rule], jwtIssuers=issuers)


def _call(admin: Client, token: str) -> str:
    header = [f"--header=authorization=Bearer {token}"] if token else []
    return mesh.call(admin, SPACE, "web", f"{TARGET}.{SPACE}", PORT, PATH, "--method=POST", *header).outcome


def _row(admin: Client, how: str, token: str, options: tuple[str, ...], wanted: str) -> Row:
    request = ("--method=POST", f"--path={PATH}", *options)
    says = attempts.can_i(admin, f"{SPACE}/web", f"{SPACE}/{TARGET}", mesh.HTTP, *request)
    got = _call(admin, token)
    word = ALLOWED if says.allowed else DENIED
    good = got == wanted and says.allowed is (wanted == "200")
    return Row(GROUP, f"web → {TARGET}: POST {PATH} {how}", f"{word}: {says.why}", got, good)
