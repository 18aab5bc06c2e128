"""The symbolic answer says of every request what ``decide`` says, for the same reason and by the same rule."""

import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.requests import (
    Asks,
    HeaderCondition,
    HttpMatch,
    Opaque,
    QueryCondition,
    Request,
    Requests,
    TimeCondition,
)
from ringfence.model.resources import Protocol
from ringfence.model.verdict import Half, Verdict
from ringfence.model.windows import Window
from ringfence.model.world import Workload, World
from ringfence.policy import decide, requests, resolve
from ringfence.policy.algebra import diagram, dimensions, ports
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.decide import Effective, Outcome
from ringfence.policy.ends import End
from ringfence.policy.reasoning import pieces, points, wording
from ringfence.policy.reasoning import sent as sent_
from ringfence.policy.reasoning.pieces import Between

from tests.property.judging import show, telling
from tests.property.worlds import about_requests

pytestmark = pytest.mark.timeout(3600)

FEWER = max(settings.default.max_examples * 2 // 5, 1)
#: Pairs of ends in each world, and requests on each port of each.
PAIRS = 24
SENT = 5

SOME = (
    Requests((HttpMatch(("GET",), ("/a/*",)),)),
    Requests((HttpMatch(paths=("/b",)), HttpMatch(("POST",)))),
    Requests((HttpMatch(("GET", "PUT"), ("/a/{*}/c", "/", "/b/*")),)),
    Requests((HttpMatch(hosts=("h", "k")),)),
    Requests((HttpMatch(paths=("/live",), upgrades=("websocket",)), HttpMatch(("GET",), hosts=("h",)))),
    Requests((HttpMatch(("POST",), ("/s.T/*",), grpc=True),)),
    Requests((HttpMatch(("CONNECT",)),)),
    Requests((HttpMatch(("CONNECT",), hosts=("h",)), HttpMatch(("GET",)))),
    Requests(when=(HeaderCondition("x-env", Asks.IN, ("prod", "test")),)),
    Requests(when=(HeaderCondition("x-env", Asks.NOT_IN, ("prod",)),)),
    Requests((HttpMatch(("GET",)),), (HeaderCondition("x-env", Asks.PREFIX, ("pr",)),)),
    Requests(when=(HeaderCondition("x-env", Asks.EXISTS), HeaderCondition("x-debug", Asks.ABSENT))),
    Requests(query=(QueryCondition("env", Asks.IN, ("prod",)),)),
    Requests((HttpMatch(("GET",)),), query=(QueryCondition("env", Asks.NOT_IN, ("prod", "test")),)),
    Requests(query=(QueryCondition("env", Asks.EXISTS), QueryCondition("debug", Asks.ABSENT))),
    Requests(times=(TimeCondition((Window(days=(0, 1, 2)),)),)),
    Requests((HttpMatch(paths=("/a/*",)),), times=(TimeCondition((Window(opens=9 * 3600, closes=17 * 3600),), True),)),
)
METHODS = (*("GET", "POST", "PUT") * 4, "get", "Post", "M-SEARCH", *("CONNECT",) * 4)
PATHS = (
    "/", "/a", "/a/", "/a/x", "/a/x/c", "/a/x/c/", "/a//c", "/b", "/b/", "/b/x?y", "/live", "/s.T/Do", "/x/../b",
    "/a/%2fb", "/a;x", "/%00", "/é", "/a/y", "/b/y", "/a/y/c",
    "/a/x?env=prod", "/a/x?env=test", "/b?env", "/?env=", "/a/x?env=prod&env=test", "/a/x?ENV=prod", "/a/x?env=pr%6fd",
    "/a/x?debug=1&env=other", "/b?debug",
)  # fmt: skip
HOSTS = ("", "h", "H", "h.", "h:80", "h.:80", "k", "other", "me@h")
HEADERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("x-env", (("prod",), ("test",), ("pre",), ("",), ("prod", "test"), ("prod,x",))),
    ("x_env", (("prod",),)),
    ("x-debug", (("1",), ("1", "2"))),
    ("content-type", (("application/grpc",), ("application/grpc+proto",), ("text/plain", "application/grpc"))),
)  # fmt: skip


def some_request(dice: random.Random) -> Request:
    headers = {name: dice.choice(values) for name, values in HEADERS if dice.random() < 0.4}
    upgrade = dice.choice((*("",) * 12, "websocket", "WebSocket", "h2c"))
    moment = dice.randrange(7 * 86400)
    return Request(dice.choice(METHODS), dice.choice(PATHS), dice.choice(HOSTS), headers, upgrade, moment)


def counting(summary: Callable[[str], None], what: str) -> Iterator[Callable[[str], None]]:
    """Counts what was asked about by what was said, for the end of the run."""
    counts: dict[str, int] = {}

    def count(said_: str) -> None:
        counts[said_] = counts.get(said_, 0) + 1

    yield count
    told = ", ".join(f"{number} {each}" for each, number in sorted(counts.items()))
    summary(f"symbolic answers: {sum(counts.values())} {what}, as decide says of each ({told})")


@pytest.fixture(scope="module")
def counted(summary: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    yield from counting(summary, "requests")


def point_of(protocol: Protocol, port: int, sent: Request | Opaque, both: Between) -> Mapping[str, Any]:
    values: dict[str, Any] = {"traffic": "bytes"}
    if isinstance(sent, Request):
        for piece in (*both.egress, *both.ingress):
            values |= points.whole(sent, piece.requests)
    return dimensions.point({**values, "port": ports.member(protocol, port)})


def outcomes(both: Between, point: Mapping[str, Any]) -> dict[Direction, Outcome | None]:
    return {each: pieces.at(both.half(each), point) for each in Direction}


def said(half: Half) -> Outcome:
    return Outcome(half.allowed, half.reason, half.rule)


def clear(request: Request | Opaque, target: End, effective: Effective) -> bool:
    """Whether no rule of these worlds could find two ways to read it, and the proxy would take it."""
    if isinstance(request, Request) and request.tunnel and isinstance(target, Workload):
        rules = effective(target.namespace).rules
        named = any(rule.requests is not None and rule.requests.tunnels for rule in rules)
        if not (named and effective(target.namespace).closed) or any(rule.builtin for rule in rules):
            return False
    return isinstance(request, Opaque) or not (requests.refused(request) or requests.unclear(request, SOME))


@settings(max_examples=FEWER)
@given(about_requests(SOME), st.booleans(), st.integers(0, 2**32))
def test_every_request_is_in_the_piece_that_decide_finds(
    counted: Callable[[str], None], world: World, plaintext: bool, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 (not drawn one by one: that would be a large example)
    effective = cache(lambda name: resolve.resolve(world, name))
    wrong = []
    for source, target, protocol, port in telling(world, dice, PAIRS):
        call = (world, effective, source, target)
        free = pieces.between(*call, plaintext=plaintext)
        for sent in (Opaque(), *(some_request(dice) for _ in range(SENT))):
            told = sent if isinstance(sent, Request) else None
            forms = [pieces.between(*call, plaintext=plaintext, told=told, whole=True)] + [free] * clear(
                sent, target, effective
            )
            verdict = decided(call, protocol, port, plaintext, sent)
            counted("CannotTell" if verdict is None else str(said_by(verdict).reason))
            for both in forms:
                point = point_of(protocol, port, sent, both)
                found = outcomes(both, point)
                inside = diagram.holds(both.allowed, point)
                if verdict is None:
                    good = None in found.values() and not inside
                else:
                    good = found == {half.direction: said(half) for half in (verdict.egress, verdict.ingress)}
                    good = good and inside is verdict.allowed
                if not good:
                    wrong.append(f"{show((source, target, protocol, port))} {sent}: {verdict}, but {found}")
    assert wrong == []


def said_by(verdict: Verdict) -> Half:
    return verdict.ingress if verdict.allowed or not verdict.ingress.allowed else verdict.egress


def decided(
    call: tuple[World, Effective, End, End], protocol: Protocol, port: int, plaintext: bool, sent: Request | Opaque
) -> Verdict | None:
    try:
        return decide.decide(*call, protocol, port, plaintext=plaintext, request=sent)
    except CannotTell:
        return None


def test_a_question_about_part_of_a_request_leaves_the_rest_free() -> None:
    on = ports.member(Protocol.TCP, 80)
    rule = requests_named(Requests((HttpMatch(("GET", "POST"), ("/a/*",)), HttpMatch(("PUT",), ("/b",)))))
    left = points.named(rule, on, Request(path="/a/x"), frozenset({"path"}))
    assert wording.lines(left) == ("every port: GET or POST",)
    left = points.named(rule, on, Request("PUT"), frozenset({"method"}))
    assert wording.lines(left) == ("every port: /b",)
    timed = requests_named(
        Requests(query=(QueryCondition("env", Asks.IN, ("prod",)),), times=(TimeCondition((Window(days=(0,)),)),))
    )
    monday = 4 * 86400
    left = points.named(timed, on, Request(path="/?env=prod", time=monday), frozenset({"path"}))
    assert wording.lines(left) == ("every port: within Mon UTC",)
    assert points.named(timed, on, Request(path="/?env=test", time=monday), frozenset({"path"})) is False
    assert points.named(timed, on, Request(path="/", time=monday), frozenset({"path"})) is False
    left = points.named(timed, on, Request(time=monday), frozenset({"time"}))
    assert wording.lines(left) == ("every port: with query:env 'prod'",)
    assert points.named(timed, on, Request(time=monday + 86400), frozenset({"time"})) is False
    assert points.named(rule, on, Request("PUT", "/a/x"), frozenset({"method", "path"})) is False
    assert points.named(rule, on, Request("PUT", "/b"), None) is True
    assert points.named(rule, on, Opaque(), None) is False
    assert wording.lines(points.named(rule, on, None, None)) == (
        "every port: GET or POST /a/*",
        "every port: PUT /b",
    )


def requests_named(rule: Requests) -> Diagram:
    return sent_.named(rule, False)
