"""What a rule says of requests, as a set: the same words are a smaller set in an Allow than in a Deny."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from ringfence.model.requests import Asks, QueryCondition, TimeCondition
from ringfence.model.tokens import TokenMatch
from ringfence.model.windows import Window
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.values import SEVERAL, Methods
from ringfence.policy.reasoning import sent, wording


@dataclass(frozen=True)
class Match:
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    upgrades: tuple[str, ...] = ()
    grpc: bool = False


@dataclass(frozen=True)
class Condition:
    header: str
    test: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sent:
    http: tuple[Match, ...] = ()
    when: tuple[Condition, ...] = ()
    query: tuple[QueryCondition, ...] = ()
    times: tuple[TimeCondition, ...] = ()
    token: TokenMatch | None = None


def PARAMETER(test: Asks, *values: str) -> Sent:  # noqa: N802 (a row of a table)
    return Sent(query=(QueryCondition("p", test, values),))


def asked(rule: Sent, deny: bool, **request: Any) -> bool:
    """Whether a rule names a request; a header is given as ``x``."""
    values = {("header:x" if name == "x" else name): value for name, value in request.items()}
    return diagram.holds(sent.named(rule, deny), dimensions.point(values))


A = Sent((Match(methods=("GET",), paths=("/a",)),))


@pytest.mark.parametrize(
    ("rule", "request_", "allow", "deny"),
    [
        (A, {"path": "/a"}, True, True),
        (A, {"path": "/a/"}, False, True),
        (A, {"path": "/a/b"}, False, False),
        (A, {"path": "/a", "method": "get"}, False, True),
        (A, {"path": "/a", "method": "POST"}, False, False),
        (A, {"path": "/a", "traffic": "bytes"}, False, True),
        (A, {"path": "/b", "traffic": "bytes"}, False, True),
        (A, {"path": "/a", "upgrade": "websocket"}, False, True),
        (Sent((Match(paths=("/",)),)), {"path": "/"}, True, True),
        (Sent((Match(paths=("/a/",)),)), {"path": "/a"}, False, True),
        (Sent((Match(paths=("/a/*",)),)), {"path": "/a"}, False, False),
        (Sent((Match(paths=("/a/*",)),)), {"path": "/a/"}, True, True),
        (Sent((Match(paths=("/a/{*}/c",)),)), {"path": "/a/b/c"}, True, True),
        (Sent((Match(paths=("/a/{*}/c",)),)), {"path": "/a/b/c/"}, False, True),
        (Sent((Match(hosts=("h",)),)), {"host": "h"}, True, True),
        (Sent((Match(hosts=("h",)),)), {"host": "h."}, False, True),
        (Sent((Match(hosts=("h",)),)), {"host": None}, False, True),
        (Sent((Match(hosts=("h",)),)), {"host": SEVERAL}, False, True),
        (Sent((Match(hosts=("h",)),)), {"host": "i."}, False, False),
        (Sent((Match(upgrades=("websocket",)),)), {"upgrade": "websocket"}, True, True),
        (Sent((Match(upgrades=("websocket",)),)), {}, False, False),
        (Sent((Match(methods=("POST",), grpc=True),)), {"header:content-type": "text/plain"}, False, True),
        (
            Sent((Match(methods=("POST",), grpc=True),)),
            {"method": "POST", "header:content-type": "application/grpc+proto"},
            True,
            True,
        ),
        (Sent(when=(Condition("x", "in", ("a",)),)), {"x": "a"}, True, True),
        (Sent(when=(Condition("x", "in", ("a",)),)), {"x": "b"}, False, False),
        (Sent(when=(Condition("x", "in", ("a",)),)), {"x": None}, False, True),
        (Sent(when=(Condition("x", "in", ("a",)),)), {"x": SEVERAL}, False, True),
        (Sent(when=(Condition("x", "notIn", ("a",)),)), {"x": "b"}, True, True),
        (Sent(when=(Condition("x", "notIn", ("a",)),)), {"x": "a"}, False, False),
        (Sent(when=(Condition("x", "notIn", ("a",)),)), {"x": None}, False, True),
        (Sent(when=(Condition("x", "prefix", ("a",)),)), {"x": "ab"}, True, True),
        (Sent(when=(Condition("x", "exists"),)), {"x": None}, False, False),
        (Sent(when=(Condition("x", "exists"),)), {"x": SEVERAL}, True, True),
        (Sent(when=(Condition("x", "absent"),)), {"x": None}, True, True),
        (Sent(when=(Condition("x", "exists"), Condition("x", "in", ("a",)))), {"x": None}, False, False),
        (Sent(when=(Condition("x", "exists"), Condition("x", "in", ("a",)))), {"x": "a"}, True, True),
        (PARAMETER(Asks.IN, "a"), {"query:p": "a"}, True, True),
        (PARAMETER(Asks.IN, "a"), {"query:p": ""}, False, True),
        (PARAMETER(Asks.IN, "a"), {"query:p": "b"}, False, False),
        (PARAMETER(Asks.NOT_IN, "a"), {"query:p": ""}, False, True),
        (PARAMETER(Asks.PREFIX, "a"), {"query:p": "ab"}, True, True),
        (PARAMETER(Asks.EXISTS), {"query:p": ""}, False, True),
        (PARAMETER(Asks.EXISTS), {}, False, False),
        (PARAMETER(Asks.ABSENT), {"query:p": ""}, False, True),
        (PARAMETER(Asks.ABSENT), {}, True, True),
        (Sent(times=(TimeCondition((Window((0,)),)),)), {"time Mon UTC": "within"}, True, True),
        (Sent(times=(TimeCondition((Window((0,)),)),)), {"time Mon UTC": "outside"}, False, False),
        (Sent(times=(TimeCondition((Window((0,)),), outside=True),)), {"time Mon UTC": "outside"}, True, True),
    ],
)
def test_what_is_missing_or_unclear_counts_against_the_request(
    rule: Sent, request_: dict[str, Any], allow: bool, deny: bool
) -> None:
    assert asked(rule, False, **request_) is allow
    assert asked(rule, True, **request_) is deny


def test_a_rule_that_says_nothing_of_requests_names_them_all() -> None:
    assert sent.named(None, False) is True
    assert sent.named(None, True) is True


def test_an_unknown_test_is_refused() -> None:
    with pytest.raises(ValueError, match="'like' is no test of a header"):
        sent.named(Sent(when=(Condition("x", "like", ("a",)),)), False)


def test_what_a_deny_leaves_of_an_allow_is_said_in_words() -> None:
    allow = sent.named(Sent((Match(("GET", "POST"), ("/charges", "/charges/*")),)), False)
    deny = sent.named(Sent((Match((), ("/charges/admin/*",)),), (Condition("x-env", "notIn", ("prod",)),)), True)
    assert wording.lines(diagram.subtract(allow, deny)) == (
        "every port: GET or POST /charges or /charges/* except /charges/admin/*",
        "every port: GET or POST /charges/admin/* with header:x-env 'prod'",
    )
    assert wording.data(diagram.subtract(allow, deny)) == [
        {
            "ports": ["every port"],
            "traffic": "HTTP",
            "methods": "GET or POST",
            "paths": ["/charges", "/charges/* except /charges/admin/*"],
            "upgrade": "no upgrade",
        },
        {
            "ports": ["every port"],
            "traffic": "HTTP",
            "methods": "GET or POST",
            "paths": ["/charges/admin/*"],
            "upgrade": "no upgrade",
            "header:x-env": "'prod'",
        },
    ]


@pytest.mark.parametrize(
    ("upgrades", "text"),
    [
        (Methods.of(("",)), "no upgrade"),
        (Methods.of(("websocket",)), "upgrade to websocket"),
        (Methods.of(("", "websocket")), "no upgrade or upgrade to websocket"),
        (Methods(frozenset({""}), others=True), "any upgrade"),
        (Methods(frozenset({"", "websocket"}), others=True), "any upgrade but to websocket"),
        (Methods(frozenset({"websocket"}), others=True), "no or any upgrade but to websocket"),
    ],
)
def test_upgrades_in_words(upgrades: Methods, text: str) -> None:
    assert wording.upgrade_text(upgrades) == text


ROLE = TokenMatch(":cluster/corp", (("role", ("a", "b")),), header="authorization", version="v1")
GOOD = {"token of corp (v1)": "there"}
HAS = {**GOOD, "token of corp: role": "there"}


@pytest.mark.parametrize(
    ("token", "request_", "allow", "deny"),
    [
        (ROLE, {**HAS, "token of corp: role a": "there"}, True, True),
        (ROLE, {**HAS, "token of corp: role b": "there"}, True, True),
        (ROLE, {**HAS, "token of corp: role c": "there"}, False, False),
        (ROLE, GOOD, False, True),
        (ROLE, {}, False, True),
        (ROLE, {**HAS, "token of corp: role a": "there", "traffic": "bytes"}, False, True),
        (replace(ROLE, version="v2"), {**HAS, "token of corp: role a": "there"}, False, True),
        (replace(ROLE, header="x-t"), {**HAS, "token of corp: role a": "there"}, False, True),
        (replace(ROLE, issuer="shop/p/corp"), {**HAS, "token of corp: role a": "there"}, False, True),
        (replace(ROLE, claims=()), GOOD, True, True),
        (replace(ROLE, claims=(), absent=True), GOOD, False, False),
        (replace(ROLE, claims=(), absent=True), {}, True, True),
        (replace(ROLE, header=""), HAS, False, True),
    ],
)
def test_a_token_that_is_missing_or_not_good_counts_against_the_request(
    token: TokenMatch, request_: dict[str, Any], allow: bool, deny: bool
) -> None:
    assert asked(Sent(token=token), False, **request_) is allow
    assert asked(Sent(token=token), True, **request_) is deny


def test_what_is_asked_of_tokens_is_said_in_words() -> None:
    role = sent.named(Sent(token=ROLE), False)
    assert wording.lines(
        diagram.subtract(role, sent.named(Sent(token=replace(ROLE, claims=(("role", ("a",)),))), True))
    ) == ("every port: with a token of corp (v1) without role a with role b",)
    both = replace(ROLE, claims=(("role", ("a",)), ("team", ("x",))))
    assert wording.lines(sent.named(Sent(token=both), False)) == (
        "every port: with a token of corp (v1) with role in a and team in x",
    )
    assert wording.lines(sent.named(Sent(token=replace(ROLE, claims=(), absent=True)), False)) == (
        "every port: without a token of corp (v1)",
    )
    assert wording.data(role)[-1]["token of corp: role"] == "there"


def test_sets_of_many_rules_about_several_claims_stay_small() -> None:
    rules = (
        replace(ROLE, claims=(("role", (f"r{n}",)), ("team", (f"t{n}",)), ("scope", (f"s{n}",)))) for n in range(100)
    )
    whole = diagram.union(sent.named(Sent(token=each), False) for each in rules)
    assert len(list(diagram.cubes(whole))) == 100


@pytest.mark.parametrize("day", range(7))
@pytest.mark.parametrize("bounds", [{}, {"not_before": 400_000}, {"not_before": 500_000, "not_after": 1_200_000}])
def test_every_day_of_the_week_has_a_moment(day: int, bounds: dict[str, int]) -> None:
    """Time begins on a Thursday, so the first Monday is in the week after."""
    window = Window((day,), 0, 86_400, 0, bounds.get("not_before"), bounds.get("not_after"))
    rule = Sent(times=(TimeCondition((window,)),))
    (name,) = (each for each in diagram.names(sent.named(rule, deny=False)) if each.startswith(dimensions.TIME))
    found = sent.some_moment({name: dimensions.WITHIN.witness()})
    assert found is not None
    assert window.holds(found)
