"""Rate limits by a claim on a real Envoy: whose bucket a request counts in, and that forged tokens open none."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.component import token_rig, traffic_rig
from tests.component.proxy_net import Identities
from tests.component.token_rig import SKEW, Signer
from tests.component.traffic_rig import Call, Rig, config, lines, nobody, written

pytestmark = pytest.mark.component

CORP, PARTNER, USER = token_rig.signers()
KNOWN = (CORP.declared, PARTNER.declared, USER.declared)
#: A name of a claim with all that could end a literal, and dots, which are dots.
ODD = "https://x.example/o'hare\\te.nant\"]"
#: Buckets of those without a value of their own, of those whose value is too long, and of numbers beyond all.
NONE, LONG, BEYOND = "none", "long", "beyond"
VALUES: tuple[tuple[Any, str], ...] = (
    ("alice", "alice"), ("bob", "bob"), ("alice", "alice"), (["alice"], "alice"), ("Alice", "Alice"), ("ali", "ali"),
    (7, "7"), ("7", "7"), (7.0, "7"), ([7], "7"), (12345678, "12345678"), (12345679, "12345679"), (2**53, "2^53"),
    (2**53 - 1, "2^53-1"), (-3, "-3"), (0, "0"), (-0.0, "0"), (1.5, "1.5"), ("1.5", "1.5"), ("1.50", "1.50"),
    (True, "true"), ("true", "true"), ([True], "true"), (False, "false"), (1, "1"), ("1", "1"),
    (None, NONE), ("", NONE), ({"alice": "alice"}, NONE), (["alice", "bob"], NONE), ([], NONE), ([["alice"]], NONE),
    ([{"a": "alice"}], NONE), ([None], NONE), ([""], NONE), ({}, NONE), (["alice", "alice"], NONE),
    ("x" * 128, "128 x"), ("x" * 129, LONG), ("y" * 200, LONG), (["z" * 200], LONG), ("-", LONG),
    ("\u00e9" * 128, "128 \u00e9"), ("\u00e9" * 129, LONG), ("a b", "a b"), ("a,b", "a,b"), ("a\nb", "a\\nb"),
    ("a\x00b", "a NUL b"), ("a\x00c", "a NUL c"), ("'", "quote"), ("\u202ealice", "turned"), (" alice", "space"),
    (1e300, BEYOND), (-1e300, BEYOND), (1e19, BEYOND),
)  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with traffic_rig.network(tmp_path_factory.mktemp("net")) as net:
        yield Rig(net, Identities(net.directory, "cluster.local"))


def per(claim: str, requests: int = 1, issuer: str = "corp", more: str = "") -> str:
    """An entry with a limit for each value of a claim."""
    quoted = '"' + claim.replace("\\", "\\\\").replace('"', '\\"') + '"'
    each = f"{{issuer: {issuer}, claim: {quoted}, requests: {requests}, per: 1h}}"
    return f"[{{name: people, ports: [8080], rateLimits: {{perClaim: [{each}]{more}}}}}]"


def sent(token: str, by: Signer = CORP) -> Call:
    """A request with a token where it belongs."""
    return Call(headers={name: value for name, (value,) in by.header(token).items()})


def told(count: int, passed: int) -> list[int]:
    return [200] * passed + [429] * (count - passed)


@pytest.mark.parametrize("claim", ["tenant", ODD])
def test_each_value_has_a_bucket_and_what_is_no_one_value_has_one_together(rig: Rig, claim: str) -> None:
    seen: set[str] = set()
    expected = []
    for _, bucket in VALUES:
        expected.append(429 if bucket in seen else 200)
        seen.add(bucket)
    with rig.running(config(per(claim), issuers=KNOWN)) as log:
        found = rig.statuses(*(sent(CORP.token(**{claim: value})) for value, _ in VALUES))
    wrong = [each for each in zip(VALUES, found, expected, strict=True) if each[1] != each[2]]
    assert not wrong
    name = "tenant" if claim == "tenant" else "https___x_example_o_hare_te_nant__"
    assert {line["limit"] for line in lines(log) if line["code"] == 429} == {f"shop/p#people.claim.corp.{name}"}


def test_a_claim_inside_others_has_buckets_too(rig: Rig) -> None:
    """What stands on the way and is no object makes it missing, as does one whose name has the dots that paths have."""
    told: tuple[tuple[dict[str, Any], str], ...] = (
        ({"org": {"o'h.x": {"id": "a"}}}, "a"), ({"org": {"o'h.x": {"id": "b"}}}, "b"),
        ({"org": {"o'h.x": {"id": ["a"]}}}, "a"), ({"org": {"o'h.x": {"id": "c", "x": 1}, "x": []}}, "c"),
        ({"org": {"o'h.x": {"id": 7}}}, "7"), ({"org": {"o'h.x": {"id": "7"}}}, "7"),
        ({"org": {"o'h.x": {"id": {"id": "d"}}}}, NONE), ({"org": {"o'h.x": {}}}, NONE),
        ({"org": {"o'h.x": "id"}}, NONE),
        ({"org": {"o'h.x": ["id"]}}, NONE), ({"org": {"o'h.x": [{"id": "a"}]}}, NONE), ({"org": {"o'h.x": 1}}, NONE),
        ({"org": {"o'h.x": None}}, NONE), ({"org": {"o'h": {"x": {"id": "a"}}}}, NONE), ({"org": "o'h.x"}, NONE),
        ({"org": ["o'h.x"]}, NONE), ({"org": []}, NONE), ({"org": True}, NONE), ({}, NONE), ({"id": "e"}, NONE),
        ({"org.o'h.x.id": "f"}, NONE), ({"org\u203ao'h.x\u203aid": "g"}, NONE), ({"o'h.x": {"org": {"id": "h"}}}, NONE),
        ({"org": {"o'h.x": {"id": "x" * 129}}}, LONG), ({"org": {"o'h.x": {"id": "y" * 130}}}, LONG),
    )  # fmt: skip
    seen: set[str] = set()
    expected = []
    for _, bucket in told:
        expected.append(429 if bucket in seen else 200)
        seen.add(bucket)
    entry = per("sub").replace('claim: "sub"', 'path: [org, "o\'h.x", id]')
    with rig.running(config(entry, issuers=KNOWN)) as log:
        found = rig.statuses(*(sent(CORP.token(**claims)) for claims, _ in told))
    assert [each for each in zip(told, found, expected, strict=True) if each[1] != each[2]] == []
    assert {line["limit"] for line in lines(log) if line["code"] == 429} == {"shop/p#people.claim.corp.org_o_h_x_id"}


def test_words_of_a_scope_are_values(rig: Rig) -> None:
    values = ("read", ["read"], "read write", "write read", "write", " write ", "")
    with rig.running(config(per("scope"), issuers=KNOWN)):
        found = rig.statuses(*(sent(CORP.token(scope=value)) for value in values))
    assert found == [200, 429, 200, 429, 200, 429, 429]


def forged() -> list[str]:
    """Tokens that are not good, each of somebody else."""
    now = int(time.time())
    return [
        token_rig.tampered(CORP.token(sub="a")),
        token_rig.unsigned(CORP, sub="b"),
        token_rig.confused(CORP),
        CORP.token(sub="d", exp=now - SKEW - 20),
        CORP.token(sub="e", exp=None),
        CORP.token(sub="f", aud="other"),
        CORP.token(sub="g", iss=PARTNER.declared.issuer),
        PARTNER.token(sub="h"),
        PARTNER.token(sub="i", iss=CORP.declared.issuer),
        CORP.token(sub="j", nbf=now + SKEW + 60),
        CORP.token(sub="k", headers={"kid": "unknown"}),
        CORP.token(sub="l", exp=2**63),
        "a.b.c",
    ]


def test_a_forged_token_opens_no_bucket(rig: Rig) -> None:
    """They and those without one have a bucket together, which those with a good one do not feel."""
    tokens = forged()
    with rig.running(config(per("sub", 3), issuers=KNOWN)) as log:
        found = rig.statuses(*(sent(each) for each in tokens), Call(times=2))
        assert found == told(len(tokens) + 2, 3)
        assert rig.statuses(*[sent(CORP.token(sub="a"))] * 4) == told(4, 3)
        assert rig.statuses(sent(CORP.token(sub="b")), Call()) == [200, 429]
    assert not any(each.split(".")[1] in log.read_text() for each in tokens if len(each) > 20)


def test_what_stands_beside_a_token_makes_it_none(rig: Rig) -> None:
    """The program might take the other word for the token; rules do not take it for one either."""
    alice, bob = (CORP.token(sub=each) for each in ("alice", "bob"))
    odd = (f"Bearer {alice} x", f"Basic x Bearer {alice}", f"Bearer {alice},Bearer {bob}", f"Bearer {bob}=", bob)
    with rig.running(config(per("sub"), issuers=KNOWN)):
        assert rig.statuses(*(Call(headers={"authorization": each}) for each in odd)) == told(len(odd), 1)
        twice = f"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {alice}\r\nauthorization: Bearer {bob}\r\n\r\n"
        assert rig.statuses(Call(raw=twice)) == [429]
        assert rig.statuses(sent(alice), sent(bob), sent(bob)) == [200, 200, 429]


def test_each_issuer_has_buckets_and_a_header_of_its_own(rig: Rig) -> None:
    both = per("sub")[:-1] + "," + per("sub", issuer="user")[1:].replace("people", "users")
    with rig.running(config(both, issuers=KNOWN)) as log:
        corp, user = CORP.token(sub="alice"), USER.token(sub="alice")
        here = {**sent(corp).headers, **sent(user, USER).headers}
        moved = {"authorization": f"Bearer {user}", "x-user-token": corp}
        found = rig.statuses(Call(headers=here), Call(headers=here), Call(headers=moved), Call(headers=moved))
        assert found == [200, 429, 200, 429]
        assert rig.statuses(sent(user, USER)) == [429]  # whoever has no token of corp has had its one request
    assert {line["limit"] for line in lines(log) if line["code"] == 429} == {"shop/p#people.claim.corp.sub"}


def test_of_an_issuer_that_nobody_declares_no_token_is_good(rig: Rig) -> None:
    with rig.running(config(per("sub", 2, issuer="nobody"), issuers=KNOWN)):
        assert rig.statuses(*(sent(CORP.token(sub=each)) for each in "abcd")) == told(4, 2)


def test_who_is_refused_counts_for_nothing(rig: Rig) -> None:
    """Tokens are looked at first, then rules, then limits."""
    ingress = "[{name: people, from: [{identity: {name: web}}], ports: [8080], jwt: {issuer: corp}}]"
    made = config(per("sub", 2, more=", all: {requests: 3, per: 1h}"), ingress=ingress, issuers=KNOWN)
    with rig.running(made):
        assert set(rig.statuses(*map(sent, forged()))) == {401, 403}
        assert rig.statuses(*(sent(CORP.token(sub=each)) for each in "aaabb")) == [200, 200, 429, 200, 429]


def test_callers_in_the_clear_have_buckets_too(rig: Rig) -> None:
    calls = [nobody(headers=sent(CORP.token(sub=each)).headers) for each in "aab"]
    with rig.running(config(per("sub"), issuers=KNOWN)):
        assert rig.statuses(*calls, nobody(), nobody()) == [200, 429, 200, 200, 429]


def test_one_caller_is_asked_by_its_own_limit_before_the_claim(rig: Rig) -> None:
    """So what it sends too much of takes nothing from the people whose tokens it sends."""
    made = config(per("sub", 3, more=", perCaller: {requests: 2, per: 1h}"), issuers=KNOWN)
    with rig.running(made):
        alice = sent(CORP.token(sub="alice"))
        assert rig.statuses(*[alice] * 9) == told(9, 2)
        alice.namespace = "bank"
        assert rig.statuses(alice, alice) == [200, 429]


def test_audit_says_whom_it_would_have_limited(rig: Rig) -> None:
    later = written(per("sub"), "later", "Audit", issuers=KNOWN)
    with rig.running(config("[{name: all, rateLimits: {all: {requests: 9, per: 1h}}}]", later)) as log:
        assert rig.statuses(*(sent(CORP.token(sub=each)) for each in "aab")) == [200] * 3
    assert [line.get("auditLimit") for line in lines(log)] == [None, "shop/later#people.claim.corp.sub", None]


def test_a_new_limit_holds_for_the_next_request_of_an_open_connection(rig: Rig) -> None:
    """With the limit the routes switch on the filter that looks at tokens."""
    before = "[{name: big, maxBody: 1Gi}]"
    with rig.by_routes(config(before, issuers=KNOWN)) as log:
        alice, bob = (sent(CORP.token(sub=each)) for each in ("alice", "bob"))
        alice.times, alice.pause = 250, 0.02
        process = rig.started([alice, bob])
        time.sleep(0.6)
        rig.route(config(per("sub", 2), issuers=KNOWN))
        (answers,) = traffic_rig.ended(process)
    statuses = [each.status for each in answers]
    assert set(statuses[:-1]) == {200, 429}
    assert statuses[:-1] == sorted(statuses[:-1])
    assert statuses[-1] == 200
    assert len({line["source"] for line in lines(log)}) == 1  # one connection
