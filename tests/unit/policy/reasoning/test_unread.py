"""A header that one rule looks at and another minds: sets of requests say of it what ``decide`` says.

Of headers that no rule looks at they know nothing, and what ``decide`` refuses for such a one they let pass.
"""

from dataclasses import replace
from functools import cache
from itertools import product

import pytest
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Request, Requests
from ringfence.model.resources import PortSpec, Protocol, Rule
from ringfence.model.verdict import Reason
from ringfence.model.world import World
from ringfence.policy import decide, resolve
from ringfence.policy.algebra import diagram, dimensions, ports
from ringfence.policy.algebra.ports import EVERY_PORT
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning import crowd, kinds, pieces, points, sent
from ringfence.policy.reasoning.side import Side

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, pod, policy

NAME, TWIN = "x-http-method-override", "x_http_method_override"
PORT, BYTES = 8080, 5432
WEB, API, DB = (replace(pod(name, ip=f"10.244.0.{n}"), proxied=True) for n, name in enumerate(("web", "api", "db"), 1))


def on(rule: Rule, methods: tuple[str, ...], *when: HeaderCondition) -> Rule:
    http = (HttpMatch(methods, ("/a",)),) if methods else ()
    return replace(rule, requests=Requests(http, when))


def looks(asks: Asks, *values: str, name: str = NAME) -> HeaderCondition:
    return HeaderCondition(name, asks, values)


BOTH = (PORT, BYTES)
PATCH = on(allow("patch", caller("web"), caller("api"), ports=BOTH), ("POST",), looks(Asks.IN, "PATCH"))
READ = on(allow("read", caller("web"), ports=BOTH), ("GET",))
NO_PUT = on(deny("no-put", caller("web"), ports=(PORT,)), ("PUT",))
NO_DEBUG = on(deny("no-override", caller("api"), ports=BOTH), (), looks(Asks.EXISTS))
OTHER_PORT = on(allow("other", caller("web"), ports=(PortSpec(9090),)), ("POST",))
ALL = allow("all", caller("web"), ports=(PORT,))
TWINS = on(allow("twin", caller("web"), caller("api"), ports=(PORT,)), (), looks(Asks.EXISTS, name=TWIN))
WORLDS = {
    "one that minds": (PATCH, READ),
    "a deny that minds": (PATCH, NO_PUT),
    "none": (PATCH,),
    "on another port": (PATCH, OTHER_PORT),
    "beside what allows all": (ALL, PATCH, NO_PUT),
    "a deny that looks": (ALL, READ, PATCH, NO_DEBUG),
    "the other spelling": (PATCH, TWINS, READ),
}
SENT = [
    Request(method, "/a", headers={name: (value,) for name, value in zip(names, values, strict=False)})
    for method, names, values in product(
        ("GET", "POST", "PUT"), ((), (NAME,), (TWIN,), (NAME, TWIN)), (("PATCH", "1"), ("DELETE", "PATCH"))
    )
]


def world(*rules: Rule) -> World:
    installation = replace(making.INSTALLATION, proxies=True)
    return making.world(policy(ingress=rules), pods=(WEB, API, DB), installation=installation)


@pytest.mark.parametrize("rules", WORLDS.values(), ids=WORLDS)
def test_sets_say_what_decide_says(rules: tuple[Rule, ...]) -> None:
    known = world(*rules)
    effective = cache(lambda name: resolve.resolve(known, name))
    found = kinds.of([known], [{name: effective(name) for name in known.namespaces}])
    side = Side(known, effective, found)
    seen = sent.looked_at(rule.requests for rule in rules)
    told = [each for each in SENT if set(each.headers) <= seen]
    wrong = []
    for source, request, port in product((WEB, API), told, (PORT, 9090)):
        verdict = decide.decide(known, effective, source, DB, Protocol.TCP, port, request=request)
        point = dimensions.point({**points.point(request), "port": ports.member(Protocol.TCP, port)})
        ends = [kinds.number_of(found, end, known) for end in (source, DB)]
        answers = crowd.groups(side, *(Members(1 << each) for each in ends), crowd.Asked(http=lambda _: EVERY_PORT))
        of_groups = any(diagram.holds(each.requests, point) for each in answers)
        outcome = pieces.at(pieces.between(known, effective, source, DB).ingress, point)
        assert outcome is not None
        if {of_groups, outcome.allowed} != {verdict.allowed}:
            wrong.append((source.name, request, port, verdict.ingress, of_groups, outcome))
    assert wrong == []


def test_what_is_refused_for_it_is_a_piece_of_its_own() -> None:
    known = world(PATCH, READ)
    both = pieces.between(known, cache(lambda name: resolve.resolve(known, name)), WEB, DB)
    (piece,) = [each for each in both.ingress if each.outcome and each.outcome.reason is Reason.REQUEST_UNCLEAR]
    assert not piece.outcome.allowed
    assert "header:x-http-method-override" in diagram.names(piece.requests)
