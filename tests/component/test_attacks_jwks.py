"""Keys of issuers that a real Envoy fetches: from the host that was named, outside, by TLS, or not at all."""

import base64
import hmac
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import get_default_algorithms
from ringfence.model.requests import HttpMatch, Request, Requests
from ringfence.model.resources import CidrPeer, Rule, Traffic
from ringfence.model.tokens import TokenMatch
from ringfence.model.traffic import Asks, By, Limit, Rate
from ringfence.translate.envoy import good as good_tokens
from ringfence.translate.envoy import remote_keys

from tests.component import key_rig, proxy_net, token_rig
from tests.component.key_rig import HOST, INSIDE, OTHER, SERVED, Roots, Served, keys
from tests.component.node_rig import eventually
from tests.component.request_rig import HTTP_PORT
from tests.component.test_attacks_jwt_forms import signed
from tests.component.token_rig import Signer
from tests.unit.policy.making import allow, caller, deny

pytestmark = pytest.mark.component

REFUSED, BAD, LET_IN, LIMITED = 403, 401, 200, 429
CORP, NEXT, STRANGER = (token_rig.signer("corp", "ES256") for _ in range(3))
NEXT = replace(NEXT, kid="corp-2")
PORT = (HTTP_PORT,)
#: More than a proxy keeps of an answer.
LARGE = 1_100_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with key_rig.network(tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture(autouse=True)
def afresh(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fetched each second, and names resolved as often; nothing left of the test before."""
    monkeypatch.setattr(remote_keys, "REFRESH", 6)
    monkeypatch.setattr(remote_keys, "AGAIN", 1)
    monkeypatch.setattr(remote_keys, "RESOLVE", 1)
    remote_keys.cluster.cache_clear()
    served.knows({HOST: [SERVED]})
    served.answers(body=keys(CORP))
    served.seen()
    yield
    remote_keys.cluster.cache_clear()


def asking(rule: Rule, by: Signer, **claims: str) -> Rule:
    wanted = tuple(sorted((name, (value,)) for name, value in claims.items()))
    return replace(rule, requests=Requests(token=TokenMatch(by.key, wanted)))


def bearing(token: str, by: Signer = CORP) -> Request:
    return Request(headers=by.header(token))


WITH = asking(allow("with", caller("web"), ports=PORT), CORP)
ALL = allow("all", caller("web"), ports=PORT)
NOT_CONTRACTORS = asking(deny("contractors", ports=PORT), CORP, role="contractor")


def good() -> Request:
    return bearing(CORP.token())


def test_keys_come_from_the_named_host(served: Served) -> None:
    with served.proxied((served.declared(CORP),), WITH):
        assert served.statuses(good(), bearing(STRANGER.token()), Request()) == [LET_IN, BAD, REFUSED]
    seen = {each for each in served.seen() if " " in each}
    assert seen == {f"{SERVED} {HOST} GET /keys?v=1 HTTP/1.1 {HOST}"}


def test_a_host_of_many_names_counts_for_each(served: Served) -> None:
    served.knows({"a.idp.example": [SERVED]})
    served.answers(**served.roots.server("*.idp.example"), body=keys(CORP))
    with served.proxied((served.declared(CORP, jwks_uri="https://a.idp.example/"),), WITH):
        assert served.statuses(good()) == [LET_IN]


def test_keys_are_changed_without_a_word(served: Served) -> None:
    told = (served.declared(CORP),)
    new = bearing(NEXT.token())
    with served.proxied(told, WITH):
        assert served.statuses(good(), new) == [LET_IN, BAD]
        served.answers(body=keys(CORP, _renamed(NEXT)))
        assert served.becomes(LET_IN, new)
        assert served.statuses(good()) == [LET_IN]
        served.answers(body=keys(_renamed(NEXT)))
        assert served.becomes(BAD, good())
        assert served.statuses(new) == [LET_IN]


def test_what_is_fetched_and_what_is_not_is_counted(served: Served) -> None:
    with served.proxied((served.declared(CORP),), WITH):
        assert served.becomes(LET_IN, good())
        assert figure(served, "success") >= 1
        before = figure(served, "failed")
        served.answers(status=500)
        eventually(lambda: figure(served, "failed") > before)


def figure(served: Served, what: str) -> int:
    told = proxy_net.ask(served.net.directory / "admin.sock", "/stats/prometheus").decode()
    found = re.search(rf'^envoy_http_in_jwt_authn_jwks_fetch_{what}{{transport="mesh"}} ([0-9]+)$', told, re.MULTILINE)
    assert found is not None, told
    return int(found[1])


def _renamed(by: Signer) -> Signer:
    """The issuer, with the key's name in its set as its tokens say it."""
    found = json.loads(by.declared.jwks)
    named = json.dumps({"keys": [{**each, "kid": by.kid} for each in found["keys"]]})
    return replace(by, declared=replace(by.declared, jwks=named))


class TestNoKeys:
    """Without keys no token is good; the first good answer ends that."""

    def badly(self, served: Served) -> dict[str, dict[str, Any]]:
        body = keys(CORP)
        private = {"kty": "RSA"}
        return {
            "gone": {"status": 404, "body": body},
            "broken": {"status": 500, "body": body},
            "partial": {"status": 206, "body": body},
            "moved": {"status": 302, "headers": {"Location": f"https://{HOST}/moved"}, "body": body},
            "moved inside": {"status": 307, "headers": {"Location": "http://169.254.169.254/latest"}, "body": body},
            "nothing": {"body": ""},
            "no JSON": {"body": "<html>keys</html>"},
            "half": {"body": body[:-20]},
            "no set": {"body": json.dumps({"jwks": json.loads(body)})},
            "no keys": {"body": json.dumps({"keys": []})},
            "keys of no kind": {"body": json.dumps({"keys": [private, {"kty": "??"}, 7, None]})},
            "another's": {"body": keys(STRANGER)},
            "nested without end": {"body": '{"keys":' * 50_000},
            "large": {"body": f'{{"x": "{"x" * LARGE}", {body[1:]}'},
            "longer than it says": {"body": body, "headers": {"Content-Length": len(body) // 2}},
            "for another name": {**served.roots.server("other.example"), "body": body},
            "for a name below": {**served.roots.server(f"a.{HOST}"), "body": body},
            "for any name beside": {**served.roots.server("*.idp.example"), "body": body},
            "ended": {**served.roots.server(HOST, days=-1), "body": body},
            "by a root that nobody named": {**Roots(served.place, "evil").server(HOST), "body": body},
        }

    def test_whatever_is_wrong_with_the_answer(self, served: Served) -> None:
        found, passed = {}, {}
        deny_too = (WITH, replace(NOT_CONTRACTORS, name="also"))
        served.answers(status=503)
        with served.proxied((served.declared(CORP),), *deny_too):
            for name, answer in self.badly(served).items():
                served.answers(**answer)
                (found[name],) = served.statuses(good())
                passed[name] = any("/moved" in each or "/latest" in each for each in served.seen())
            assert {name: status for name, status in found.items() if status != BAD} == {}
            assert not any(passed.values())
            served.answers(body=keys(CORP))
            assert served.becomes(LET_IN, bearing(CORP.token(role="staff")))

    def test_a_deny_is_not_passed_by(self, served: Served) -> None:
        served.answers(status=503)
        with served.proxied((served.declared(CORP),), ALL, NOT_CONTRACTORS):
            assert served.statuses(bearing(CORP.token(role="staff")), Request()) == [BAD, REFUSED]
            served.answers(body=keys(CORP))
            assert served.becomes(LET_IN, bearing(CORP.token(role="staff")))
            assert served.statuses(Request(), bearing(CORP.token(role="contractor"))) == [REFUSED] * 2

    @pytest.mark.parametrize("how", [{"wait": 60}, {"drip": True}], ids=["silent", "a byte a second"])
    def test_whoever_is_slow_holds_nobody_for_long(self, served: Served, how: dict[str, Any]) -> None:
        served.answers(body=keys(CORP), **how)
        public = replace(ALL, name="public", requests=Requests((HttpMatch(paths=("/public",)),)))
        with served.proxied((served.declared(CORP),), WITH, public) as log:
            # The proxy is there before the keys are, and who brings no token does not wait for them.
            asked = [Request(path="/public"), *[good()] * 4]
            assert served.statuses(*asked) == [LET_IN, *[BAD] * 4]
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        lasted = {each["path"]: each["duration"] / 1000 for each in lines if each.get("method")}
        assert lasted["/public"] < remote_keys.TIMEOUT / 2
        assert remote_keys.TIMEOUT / 2 < lasted["/"] < remote_keys.TIMEOUT + 3

    def test_who_has_had_keys_keeps_them(self, served: Served) -> None:
        """An issuer that is away, or answers nonsense, takes nobody's access away, and gives nobody any."""
        with served.proxied((served.declared(CORP),), WITH):
            assert served.statuses(good()) == [LET_IN]
            # Those that the first request has fetched last for a while, those fetched beside requests without end.
            time.sleep(3)
            for _ in range(3):
                served.seen()
                eventually(lambda: any(" GET " in each for each in served.seen()))
            for answer in ({"status": 500}, {"body": "no keys"}, {"body": keys(CORP), "wait": 60}):
                served.answers(**answer)
                time.sleep(3)
                assert served.statuses(good(), bearing(STRANGER.token())) == [LET_IN, BAD]
            served.answers(body=keys(_renamed(NEXT)))
            assert served.becomes(BAD, good())


class TestPlaces:
    def test_nothing_inside_is_ever_connected_to(self, served: Served) -> None:
        served.knows({HOST: [INSIDE[0]]})
        with served.proxied((served.declared(CORP),), WITH):
            for address in INSIDE:
                served.knows({HOST: [address]})
                time.sleep(2.5)
                assert served.statuses(good()) == [BAD], address
            assert served.seen() == []
            served.knows({HOST: [SERVED]})
            assert served.becomes(LET_IN, good())

    def test_nor_beside_an_address_outside(self, served: Served) -> None:
        served.answers(status=503)
        served.knows({HOST: [OTHER, *INSIDE]})
        with served.proxied((served.declared(CORP),), WITH):
            served.statuses(*[good()] * 40)
            time.sleep(2)
            served.statuses(*[good()] * 40)
        assert {each.partition(" ")[0] for each in served.seen()} == {OTHER}

    def test_nor_where_a_deny_stands_before(self, served: Served) -> None:
        closed = deny("closed", CidrPeer(f"{SERVED}/32"), ports=(443,))
        served.knows({HOST: [SERVED]})
        with served.proxied((served.declared(CORP),), WITH, egress=(closed,)):
            assert served.statuses(good()) == [BAD]
            assert served.seen() == []
            served.knows({HOST: [OTHER]})
            assert served.becomes(LET_IN, good())


class TestSecrets:
    """A set that holds a symmetric key is public, so whoever reads it could make tokens by it."""

    def test_they_sign_nothing(self, served: Served) -> None:
        key, forged = key_rig.secret(CORP, b"0" * 32)
        body = json.dumps({"keys": [key, *json.loads(keys(CORP))["keys"]]})
        served.answers(body=body)
        with served.proxied((served.declared(CORP),), WITH):
            assert served.statuses(bearing(forged), good()) == [BAD, LET_IN]
        with served.proxied((served.declared(CORP),), ALL, NOT_CONTRACTORS):
            wanted = bearing(CORP.token(role="staff"))
            assert served.statuses(bearing(forged), wanted) == [BAD, LET_IN]

    def test_they_open_no_bucket_of_a_limit(self, served: Served) -> None:
        """Keys are fetched for the limit alone; a token made by the secret counts with those that bring none."""
        key, forged = key_rig.secret(CORP, b"0" * 32)
        served.answers(body=json.dumps({"keys": [key, *json.loads(keys(CORP))["keys"]]}))
        limit = Limit(By.CLAIM, Rate(1, 3600, 1), issuer=CORP.key, claim="sub")
        people = (Traffic("people", None, Asks((limit,))),)
        bob = [bearing(CORP.token(sub="bob"))] * 2
        with served.proxied((served.declared(CORP),), ALL, traffic=people):
            # Until the keys are there nobody's token is good.
            assert served.becomes(LET_IN, bearing(CORP.token(sub="carol")))
            assert sorted(served.statuses(*bob)) == [LET_IN, LIMITED]
            served.statuses(Request())  # the one that those without a token have together
            assert served.statuses(bearing(forged)) == [LIMITED]
            assert served.statuses(good()) == [LET_IN]

    def test_a_proxy_would_take_them(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the rule about the way to sign that refuses them, and nothing else."""
        key, forged = key_rig.secret(CORP, b"0" * 32)
        served.answers(body=json.dumps({"keys": [key]}))
        monkeypatch.setattr(good_tokens, "PUBLIC", (*good_tokens.PUBLIC, "HS256"))
        with served.proxied((served.declared(CORP),), WITH):
            assert served.statuses(bearing(forged)) == [LET_IN]

    def test_whatever_the_head_of_the_token_looks_like(self, served: Served) -> None:
        value = b"0" * 32
        key, _ = key_rig.secret(CORP, value)
        served.answers(body=json.dumps({"keys": [{**key, "alg": ""}, {"kty": "oct", "k": key["k"]}]}))
        heads = (
            '{"alg":"HS256"}', '{"alg":"HS384"}', '{"alg":"HS512"}', '{"alg":"ES256","alg":"HS256"}',
            '{"alg":"HS256","alg":"ES256"}', '{"\\u0061lg":"\\u0048S256"}', '{"alg":["ES256","HS256"]}',
            '{"alg":"HS256","x":{"alg":"ES256"}}', '{"alg":"HS256 ES256"}', '{"alg":"hs256"}', '{"alg":"HS256\\u0000"}',
            '{"alg":null,"x":"HS256"}', "{'alg':'HS256'}",
        )  # fmt: skip
        forged = [bearing(_by_secret(head, value, way)) for head in heads for way in ("sha256", "sha384", "sha512")]
        with served.proxied((served.declared(CORP),), WITH):
            assert set(served.statuses(*forged)) <= {REFUSED, BAD}


Short = dict[int, token_rig.ShortRsa]
SIZES = (512, 1024, 1536, 2032, 2040)


@pytest.fixture(scope="module")
def short() -> Short:
    return {bits: token_rig.ShortRsa.of(CORP, bits) for bits in SIZES}


class TestWeakKeys:
    """What a set holds beside good keys: RSA keys that are too short, and a curve of no use."""

    def test_no_token_of_a_short_key_is_good_and_none_of_another_curve(self, served: Served, short: Short) -> None:
        curve = ec.generate_private_key(ec.SECP256K1())
        at = curve.public_key().public_numbers()
        place = {name: token_rig.part(value.to_bytes(32, "big")) for name, value in (("x", at.x), ("y", at.y))}
        koblitz = {"kty": "EC", "crv": "secp256k1", "kid": "koblitz", **place}
        others = [*(each.jwk for each in short.values()), koblitz]
        served.answers(body=json.dumps({"keys": [*others, *json.loads(keys(CORP))["keys"]]}))
        by_curve = signed(replace(CORP, private=curve), CORP.payload(), {"alg": "ES256", "kid": "koblitz"})
        tried = {bits: each.token() for bits, each in short.items()}
        longer = [tried[1024] + more for more in ("A" * 171, "=" * 171, "A" * 5000, f".{'A' * 342}")]
        with served.proxied((served.declared(CORP),), WITH) as log:
            assert served.becomes(LET_IN, good())
            found = served.statuses(*map(bearing, (*tried.values(), by_curve, *longer)))
            assert (set(found[:6]), set(found[6:])) <= ({BAD}, {BAD, REFUSED, 400})
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        said = [each["tokens"][CORP.key] for each in lines if CORP.key in each.get("tokens", {})]
        assert said.count("its RSA key has less than 2048 bits") == len(SIZES)
        with served.proxied((served.declared(CORP),), ALL, NOT_CONTRACTORS):
            assert served.becomes(LET_IN, bearing(CORP.token(role="staff")))
            assert served.statuses(*map(bearing, tried.values())) == [BAD] * len(tried)

    def test_a_proxy_would_take_them(self, served: Served, short: Short, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is the length of the signature that refuses them, and nothing else."""
        served.answers(
            body=json.dumps({"keys": [*(each.jwk for each in short.values()), *json.loads(keys(CORP))["keys"]]})
        )
        monkeypatch.setattr(good_tokens, "LONG", 1)
        with served.proxied((served.declared(CORP),), WITH):
            assert served.becomes(LET_IN, good())
            assert served.statuses(*(bearing(each.token()) for each in short.values())) == [LET_IN] * len(short)

    @pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
    @pytest.mark.parametrize("header", ["authorization", "x-user-token"])
    def test_every_other_way_to_sign_is_as_good_as_before(self, served: Served, header: str) -> None:
        declared = {"issuer": CORP.declared.issuer, "header": header}
        ways = ("RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA")
        by = [replace(token_rig.signer("corp", way, **declared), kid=f"corp-{way}") for way in ways]
        by.append(replace(by[0], private=rsa.generate_private_key(65537, 3072), kid="long"))
        weak = replace(by[2], private=rsa.generate_private_key(65537, 1024), kid="weak")  # noqa: S505 (that is the point)
        served.answers(body=json.dumps({"keys": [_public(each) for each in (*by, weak)]}))
        with served.proxied((served.declared(by[0]),), WITH):
            assert served.becomes(LET_IN, bearing(by[0].token(), by[0]))
            assert served.statuses(*(bearing(each.token(), each) for each in by)) == [LET_IN] * len(by)
            assert served.statuses(bearing(weak.token(), weak)) == [BAD]


def _public(by: Signer) -> dict[str, str]:
    made = get_default_algorithms()[by.algorithm].to_jwk(by.private.public_key())
    return {**json.loads(made), "kid": by.kid}


def _by_secret(head: str, value: bytes, way: str) -> str:
    told = f"{base64.urlsafe_b64encode(head.encode()).rstrip(b'=').decode()}.{token_rig.part(CORP.payload())}"
    return f"{told}.{token_rig.part(hmac.new(value, told.encode(), way).digest())}"
