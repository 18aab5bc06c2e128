"""CONNECT: who may send one where, in one answer and in sets of requests."""

from dataclasses import replace

import pytest
from ringfence.model.effective import Direction
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.requests import HttpMatch, Request, Requests
from ringfence.model.resources import Action, Mode, Protocol, Rule
from ringfence.model.verdict import Reason
from ringfence.model.world import Namespace, OpenService, World
from ringfence.policy import tunnels
from ringfence.policy.algebra import diagram
from ringfence.policy.decide import Call, decide
from ringfence.policy.explain import missing
from ringfence.policy.nearest import nearest
from ringfence.policy.reasoning import pieces, sent, wording

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

DB, WEB, API = (replace(making.pod(name), proxied=True) for name in ("db", "web", "api"))
TUNNEL = Request("CONNECT", "", "pay.shop:443")
CONNECT = Requests((HttpMatch(("CONNECT",)),))
INSTALLATION = replace(making.INSTALLATION, proxies=True)


def on(rule: Rule, *matches: HttpMatch) -> Rule:
    return replace(rule, requests=Requests(matches))


ALL = allow("all", caller("web"), ports=(8080,))
NAMED = replace(allow("named", caller("api"), ports=(8080,)), requests=CONNECT)


def world(*rules: Rule, **more: object) -> World:
    return making.world(policy(ingress=rules), **{"pods": (DB, WEB, API), "installation": INSTALLATION, **more})  # type: ignore[arg-type]


def reason(known: World, source: object = WEB, request: Request = TUNNEL) -> Reason:
    call = (known, making.effective(known), source, DB, Protocol.TCP, 8080)
    return decide(*call, request=request).ingress.reason  # type: ignore[arg-type]


def test_only_a_rule_that_names_it_allows_it() -> None:
    known = world(ALL, NAMED)
    assert reason(known) is Reason.NO_RULE_ALLOWS
    assert reason(known, API) is Reason.ALLOWED_BY_RULE
    assert reason(known, request=Request()) is Reason.ALLOWED_BY_RULE
    assert reason(known, API, Request()) is Reason.NO_RULE_ALLOWS


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (HttpMatch(paths=("/admin",)), Reason.DENIED_BY_RULE),
        (HttpMatch(("CONNECT",)), Reason.DENIED_BY_RULE),
        (HttpMatch(("GET",), ("/admin",)), Reason.ALLOWED_BY_RULE),
        (HttpMatch(hosts=("other.shop",)), Reason.ALLOWED_BY_RULE),
    ],
)
def test_a_deny_means_it_unless_it_names_other_methods(match: HttpMatch, expected: Reason) -> None:
    known = world(NAMED, on(deny("no", ports=(8080,)), match))
    assert reason(known, API) is expected
    assert set_says(known) is (expected is Reason.ALLOWED_BY_RULE)


def test_a_deny_of_whatever_is_sent_means_it() -> None:
    assert reason(world(NAMED, deny("no", ports=(8080,))), API) is Reason.DENIED_BY_RULE


def test_in_audit_it_passes_where_a_rule_names_it() -> None:
    audited = Namespace.of("shop", {LABEL_ENROLL: "audit"})
    bare = world(ALL, namespaces=(audited,))
    assert reason(bare) is Reason.REQUEST_REFUSED
    assert reason(bare, request=Request()) is Reason.NOT_CLOSED
    assert reason(world(ALL, NAMED, namespaces=(audited,))) is Reason.NOT_CLOSED


def test_a_rule_in_mode_audit_opens_none() -> None:
    known = making.world(
        policy("p", ingress=(ALL,)),
        policy("a", ingress=(NAMED,), mode=Mode.AUDIT),
        pods=(DB, WEB, API),
        installation=INSTALLATION,
    )
    call = (known, making.effective(known), API, DB, Protocol.TCP, 8080)
    half = decide(*call, request=TUNNEL).ingress
    assert (half.allowed, half.audit) == (False, True)


def test_what_is_always_open_has_none() -> None:
    dns = OpenService("dns", "shop", {"ringfence.dev/identity": "db"}, ((Protocol.TCP, 8080),))
    known = world(NAMED, installation=replace(INSTALLATION, open_services=(dns,)))
    assert reason(known, API, Request()) is Reason.ALLOWED_BUILTIN
    assert reason(known, API) is Reason.NO_RULE_ALLOWS
    rules = making.effective(known)("shop").rules
    assert not tunnels.named(rule for rule in rules if rule.direction is Direction.INGRESS)


def test_where_no_proxy_judges_none_is_named() -> None:
    known = world(NAMED, installation=making.INSTALLATION)
    assert not tunnels.named(making.effective(known)("shop").rules)
    assert reason(known, API) is Reason.RULE_SUSPENDED


def set_says(known: World) -> bool:
    """Whether the set of what api may send holds a tunnel."""
    both = pieces.between(known, making.effective(known), API, DB)
    found = diagram.given(both.allowed, {"traffic": "HTTP", "method": "CONNECT", "upgrade": "", "host": "pay.shop"})
    return found is not diagram.NOTHING


def test_sets_tell_it_apart_where_a_rule_names_it() -> None:
    known = world(allow("api", caller("api"), ports=(8080,)), NAMED)
    assert set_says(known)
    assert not set_says(world(allow("api", caller("api"), ports=(8080,)), replace(NAMED, peers=(caller("web"),))))


def test_in_words_it_is_told_where_it_is_named() -> None:
    every, some = sent.told_apart(None, False), sent.told_apart(CONNECT, False)
    assert wording.lines(every) == ("every port",)
    assert wording.lines(some) == ("every port: CONNECT",)
    post = sent.named(Requests((HttpMatch(("POST",)),)), True)
    assert wording.lines(diagram.subtract(every, post)) == ("every port: every method but POST and post",)
    assert "methods" not in wording.data(every)[0]


def test_the_nearest_rule_says_that_it_is_about_something_else() -> None:
    known = world(ALL, on(allow("get", caller("web"), ports=(8080,)), HttpMatch(("GET",), hosts=("pay.shop",))))
    call = Call(known, Direction.INGRESS, DB, WEB, Protocol.TCP, 8080, frozenset(), request=TUNNEL)
    found = nearest(making.effective(known)("shop"), call, Action.ALLOW)
    assert [(each.rule.ref.rule, each.differing) for each in found] == [("all", ("method",)), ("get", ("method",))]
    assert [missing(each, call) for each in found] == [
        "only for what is no CONNECT (method differs)",
        "only for GET at pay.shop (method differs)",
    ]
    named = world(on(allow("named", caller("web"), ports=(8080,)), HttpMatch(("CONNECT",), hosts=("other.shop",))))
    call = replace(call, world=named)
    (near,) = nearest(making.effective(named)("shop"), call, Action.ALLOW)
    assert near.differing == ("host",)
