"""A difference of policies about requests holds exactly those of which ``decide`` says another thing afterwards."""

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.requests import Asked, Opaque, Request
from ringfence.model.world import Workload, World
from ringfence.policy import decide, issuers, resolve
from ringfence.policy.algebra import diagram, dimensions, ports
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.difference import Change

from tests.property.judging import questions, show
from tests.property.test_difference import compared
from tests.property.worlds import CORP, TOKENS, about_requests

_TOKEN = "token of corp"


def _bearing(path: str, *roles: str) -> tuple[Asked, dict[str, Any]]:
    """A request with a good token that says so of its role, and the same as a point."""
    good = f"{_TOKEN} ({issuers.version(CORP)})"
    point = {good: "there", **({f"{_TOKEN}: role": "there"} if roles else {})}
    has = {f"{_TOKEN}: role {role}": "there" for role in roles}
    claims = {"role": roles} if roles else {}
    return Request("GET", path, tokens={TOKENS: claims}), {"path": path, **point, **has}


#: Requests that rules of these worlds tell apart, each as a point of the sets.
_POINTS: tuple[tuple[Asked, dict[str, Any]], ...] = (
    (Opaque(), {"traffic": "bytes"}),
    (Request("GET", "/a/x"), {"path": "/a/x"}),
    (Request("POST", "/a/x"), {"method": "POST", "path": "/a/x"}),
    (Request("get", "/a/x"), {"method": "get", "path": "/a/x"}),
    (Request("GET", "/b"), {"path": "/b"}),
    (Request("GET", "/b/"), {"path": "/b/"}),
    (Request("PUT", "/c"), {"method": "PUT", "path": "/c"}),
    (Request("GET", "/a/x", headers={"x-env": ("prod",)}), {"path": "/a/x", "header:x-env": "prod"}),
    (Request("PUT", "/c", headers={"x-env": ("test",)}), {"method": "PUT", "path": "/c", "header:x-env": "test"}),
    (Request("GET", "/a/x", upgrade="websocket"), {"path": "/a/x", "upgrade": "websocket"}),
    (Request("GET", "/a/x?env=prod"), {"path": "/a/x", "query:env": "prod"}),
    (Request("GET", "/a/x?env=test"), {"path": "/a/x", "query:env": "test"}),
    (Request("GET", "/a/x?env"), {"path": "/a/x", "query:env": ""}),
    (Request("CONNECT", "", "pay.shop:1"), {"method": "CONNECT", "host": "pay.shop"}),
    (Request("CONNECT", "", headers={"x-env": ("prod",)}), {"method": "CONNECT", "header:x-env": "prod"}),
    _bearing("/a/x"),
    _bearing("/c", "a"),
    _bearing("/a/x", "b", "c"),
    _bearing("/c", "c"),
)
#: A Monday and the day after it, as the sets have them.
MONDAY = 4 * 86400
TIMES = ((MONDAY, "within"), (MONDAY + 86400, "outside"))
SENT = tuple(
    (replace(asked, time=time) if isinstance(asked, Request) else asked, {**point, "time Mon UTC": side})
    for asked, point in _POINTS
    for time, side in TIMES
)
CALLS = 400


@st.composite
def changed(draw: st.DrawFn) -> tuple[World, World]:
    """A world, and the same with the policies of another."""
    old, other = draw(about_requests()), draw(about_requests())
    return old, replace(old, policies=other.policies, cluster_policies=other.cluster_policies)


def among(changes: tuple[Change, ...], source: int, target: int, point: dict[str, Any]) -> bool:
    whole = dimensions.point(point)
    return any(
        source in each.sources and target in each.targets and diagram.holds(each.requests, whole) for each in changes
    )


def always_open(policies: Iterable[Effective], target: End) -> bool:
    """Whether something at the target is open whatever rules say, where no tunnel passes either."""
    if not isinstance(target, Workload):
        return False
    return any(rule.builtin for each in policies for rule in each(target.namespace).rules)


@settings(max_examples=max(settings.default.max_examples // 5, 1))
@given(changed(), st.randoms(use_true_random=False))
def test_requests_of_which_decide_says_another_thing_are_the_difference(
    both: tuple[World, World], chance: random.Random
) -> None:
    old, new = both
    found, changes = compared(old, new)
    policies = [cache(lambda name, world=world: resolve.resolve(world, name)) for world in both]
    wrong = []
    for question in chance.sample(questions(old), CALLS):
        source, target, protocol, port = question
        pair = [kinds.number_of(found, end, old) for end in (source, target)]
        request, point = chance.choice(SENT)
        # Where no rule names CONNECT none passes, and sets say nothing of it.
        tunnel = isinstance(request, Request) and request.tunnel
        if tunnel and (not found.named.tunnels or always_open(policies, target)):
            continue
        verdicts = [decide.decide(w, p, *question, request=request) for w, p in zip(both, policies, strict=True)]
        was, is_ = (each.ingress.allowed and each.egress.allowed for each in verdicts)
        at = {"port": ports.member(protocol, port), **point}
        said = tuple(among(some, *pair, at) for some in (changes.gained, changes.lost))
        if said != (is_ and not was, was and not is_):
            wrong.append(f"{show(question)} {request}: was {was}, is {is_}; said gained, lost: {said}")
    assert wrong == []
