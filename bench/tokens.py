"""What it costs a proxy to verify the token of each request, by the way it is signed, and how many it verifies.

The same rule is asked in all pairs but one, which asks for no token; the tokens are of good issuers with two claims
asked. Proxies keep no verdicts on tokens: each request is a verification.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from ringfence.api.v1alpha1 import jwks
from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.resources import PolicySpec
from ringfence.model.tokens import Issuer, TokenMatch, own_key

from bench import proxy, proxy_mesh, table
from bench.turns import Turns

_KEY: Final = "k-1"
_ISSUER, _AUDIENCE = "https://login.example/", "pay"
_NONE: Final = "none"
_OPEN: Final = Requests(http=(HttpMatch(methods=("GET",), paths=("/echo",)),))


@dataclass(frozen=True, slots=True)
class Signed:
    """Tokens of one algorithm (RFC 7518, RFC 8037)."""

    algorithm: str
    private: Any

    def spec(self) -> PolicySpec:
        """A policy that lets in who brings such a token with the scope."""
        public = json.loads(get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key()))
        keys = jwks.canonical(json.dumps({"keys": [{**public, "kid": _KEY}]}))
        key = own_key(proxy_mesh.NAMESPACE, proxy_mesh.MEASURED, "login")
        asked = TokenMatch(key, (("role", ("admin", "clerk")), ("scope", ("payments.write",))))
        rule = proxy_mesh.rule("token", proxy_mesh.CALLER, (proxy_mesh.PORTS["HTTP"],), replace(_OPEN, token=asked))
        return PolicySpec(ingress=(rule,), issuers=(Issuer("login", _ISSUER, (_AUDIENCE,), keys),))

    def headers(self) -> dict[str, str]:
        """What its caller sends: a token that is good for an hour."""
        ends = int(time.time()) + 3600
        claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "alice", "exp": ends, "role": "clerk"}
        token = jwt.encode({**claims, "scope": "read payments.write"}, self.private, self.algorithm, {"kid": _KEY})
        return {"Authorization": f"Bearer {token}"}


def rows() -> Iterator[table.Row]:
    """Needs root and fortio."""
    signed = (
        Signed("RS256", rsa.generate_private_key(65537, 2048)),
        Signed("ES256", ec.generate_private_key(ec.SECP256R1())),
        Signed("EdDSA", ed25519.Ed25519PrivateKey.generate()),
    )
    plain = proxy_mesh.rule("plain", proxy_mesh.CALLER, (proxy_mesh.PORTS["HTTP"],), _OPEN)
    with proxy.bench() as bench:
        # The same bytes come to the proxy that asks for none, so that reading them is not counted.
        specs = {_NONE: (PolicySpec(ingress=(plain,)), signed[1].headers())}
        specs |= {each.algorithm: (each.spec(), each.headers()) for each in signed}
        pairs = {
            name: (bench.proxied(name, spec=spec, services=proxy.SERVICES[0]), headers)
            for name, (spec, headers) in specs.items()
        }
        seen = Turns(bench, pairs, "tokens")
    for each in signed:
        yield table.Row(f"a token in each request, {each.algorithm}", seen.told(each.algorithm))
        added = seen.added_cpu(each.algorithm)
        rate = f"{1 / added:,.0f} on one processor" if added > 0 else "too disturbed to be told"
        yield table.Row(f"tokens verified and their claims judged a second, {each.algorithm}", rate)
