"""The rules that almost matched a call, and in which parts they differ."""

from dataclasses import replace

import pytest
from ringfence.model.effective import Direction
from ringfence.model.requests import (
    Asked,
    Asks,
    HeaderCondition,
    HttpMatch,
    Opaque,
    QueryCondition,
    Request,
    Requests,
    TimeCondition,
)
from ringfence.model.resources import Action, AppliesTo, Protocol
from ringfence.model.windows import Window
from ringfence.policy.decide import Call
from ringfence.policy.nearest import nearest
from ringfence.policy.resolve import resolve

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

DB, WEB, API = (replace(making.pod(name), proxied=True) for name in ("db", "web", "api"))
CHARGES = Requests(
    (HttpMatch(("POST",), ("/charges",), ("pay",)), HttpMatch(paths=("/live",), upgrades=("websocket",))),
    (HeaderCondition("x-env", Asks.IN, ("prod",)),),
)
PROD = {"x-env": ("prod",)}
OPEN = Requests(
    query=(QueryCondition("kind", Asks.IN, ("open",)), QueryCondition("page", Asks.ABSENT)),
    times=(TimeCondition((Window(not_before=100),)), TimeCondition((Window(not_before=500),), outside=True)),
)


def parts(
    request: Asked, told: frozenset[str] | None = None, rule: Requests = CHARGES, **other: object
) -> tuple[tuple[str, ...], ...]:
    """In what the only rule differs from a call; none where it matches."""
    rule_ = replace(allow("charges", caller("web"), ports=(8080,)), requests=rule)
    known = making.world(
        policy(applies_to=AppliesTo(identities=("db",)), ingress=(rule_,)),
        pods=(DB, WEB, API),
        installation=replace(making.INSTALLATION, proxies=True),
    )
    call = Call(known, Direction.INGRESS, DB, WEB, Protocol.TCP, 8080, frozenset(), request=request)
    found = nearest(resolve(known, "shop"), replace(call, **other), Action.ALLOW, told)  # type: ignore[arg-type]
    return tuple(each.differing for each in found)


@pytest.mark.parametrize(
    ("request_", "differing"),
    [
        (Request("POST", "/charges", "pay", PROD), ()),
        (Request("GET", "/charges", "pay", PROD), (("method",),)),
        (Request("POST", "/charges/7", "pay", PROD), (("path",),)),
        (Request("POST", "/charges", "", PROD), (("host",),)),
        (Request("POST", "/charges", "pay", {"x-env": ("test",)}), (("header x-env",),)),
        (Request("POST", "/charges", "pay", PROD, "websocket"), (("upgrade",),)),
        (Request("GET", "/live", "", PROD), (("upgrade",),)),
        (Request("PUT", "/x", "pay", PROD), (("method", "path"),)),
        (Opaque(), (("bytes",),)),
        (None, ()),
    ],
)
def test_the_parts_of_a_request_that_differ(request_: Asked, differing: tuple[tuple[str, ...], ...]) -> None:
    assert parts(request_) == differing


@pytest.mark.parametrize(
    ("path", "time", "differing"),
    [
        ("/entries?kind=open", 200, ()),
        ("/entries?kind=closed", 200, (("parameter kind",),)),
        ("/entries?kind=open&page=2", 200, (("parameter page",),)),
        ("/entries", 200, (("parameter kind",),)),
        ("/entries?kind=open", 50, (("time",),)),
        ("/entries?kind=open", 600, (("time",),)),
        ("/entries?page=2", 50, (("parameter kind", "parameter page", "time"),)),
    ],
)
def test_the_query_and_the_time(path: str, time: int, differing: tuple[tuple[str, ...], ...]) -> None:
    assert parts(Request(path=path, time=time), rule=OPEN) == differing


def test_a_path_tells_its_query() -> None:
    wrong = Request(path="/entries?page=2", time=50)
    assert parts(wrong, frozenset({"path"}), OPEN) == (("parameter kind", "parameter page"),)
    assert parts(wrong, frozenset({"time"}), OPEN) == (("time",),)
    assert parts(wrong, frozenset({"method"}), OPEN) == ()


def test_the_other_parts_of_a_call() -> None:
    good = Request("POST", "/charges", "pay", PROD)
    assert parts(good, other=API) == (("peer",),)
    assert parts(good, port=1) == (("port",),)
    assert parts(good, governed=API) == (("subject",),)
    assert parts(replace(good, method="GET"), port=1, governed=API) == (("method", "port", "subject"),)


def test_what_a_question_leaves_free_does_not_count() -> None:
    wrong = Request("GET", "/other", headers={"x-env": ("test",)})
    assert parts(wrong, frozenset({"path"})) == (("path",),)
    assert parts(wrong, frozenset({"header:x-env"})) == (("header x-env",),)
    assert parts(wrong, frozenset({"upgrade"})) == ()


def test_those_that_differ_least_are_named_and_denies_apart() -> None:
    known = making.world(
        policy(
            ingress=(
                allow("far", caller("api"), ports=(1,)),
                allow("near", caller("web"), ports=(1,)),
                deny("never", caller("api"), ports=(1,)),
            )
        )
    )
    call = Call(known, Direction.INGRESS, DB, WEB, Protocol.TCP, 8443, frozenset())
    rules = resolve(known, "shop")
    assert [each.rule.ref.rule for each in nearest(rules, call, Action.ALLOW)] == ["near"]
    assert [(each.rule.ref.rule, each.differing) for each in nearest(rules, call, Action.DENY)] == [
        ("never", ("port", "peer"))
    ]
