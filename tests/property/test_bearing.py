"""The symbolic answer about requests with a token says what ``decide`` says, whether the question tells it or not."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.labels import LabelBox
from ringfence.model.requests import HttpMatch, Request, Requests
from ringfence.model.resources import ClusterSecurityPolicy, PolicySpec, PortSpec, Protocol, ResourceMeta
from ringfence.model.tokens import Claims, TokenMatch
from ringfence.model.world import World
from ringfence.policy import resolve
from ringfence.policy.algebra import dimensions
from ringfence.policy.reasoning import pieces

from tests.property.judging import show, telling
from tests.property.test_pieces import counting, decided, outcomes, point_of, said, said_by
from tests.property.worlds import CORP, TOKENS, about_requests

pytestmark = pytest.mark.timeout(3600)

FEWER = max(settings.default.max_examples * 2 // 5, 1)
PAIRS = 24
SENT = 5

SOME = (
    Requests((HttpMatch(("GET",), ("/a/*",)),)),
    Requests(token=TokenMatch(TOKENS)),
    Requests(token=TokenMatch(TOKENS, (("role", ("a", "b")),))),
    Requests((HttpMatch(paths=("/a/*",)),), token=TokenMatch(TOKENS, (("role", ("b",)), ("team", ("x",))))),
    Requests(token=TokenMatch(TOKENS, absent=True)),
    Requests(token=TokenMatch(":cluster/nobody")),
)
CLAIMS: tuple[Claims | None, ...] = (
    None,
    {},
    {"role": ("a",)},
    {"role": ("b", "c"), "team": ("x",)},
    {"role": ("c",)},
    {"team": ("x",)},
)


@st.composite
def bearers(draw: st.DrawFn) -> World:
    """A world whose rules for calls in are nearly all about requests, most of them about tokens, with proxies."""
    world = draw(about_requests(SOME))
    asked = st.sampled_from((None, *SOME))

    def spec(found: PolicySpec) -> PolicySpec:
        rules = (
            replace(rule, ports=(PortSpec(80), PortSpec(8080)), requests=draw(asked)) for rule in found.ingress or ()
        )
        return replace(found, ingress=tuple(rules) or None)

    floor = ClusterSecurityPolicy(ResourceMeta("issuers"), LabelBox(), PolicySpec(issuers=(CORP,)))
    declared = draw(st.sampled_from(((floor,), (floor,), ())))
    return replace(
        world,
        installation=replace(world.installation, proxies=True),
        policies={n: tuple(replace(p, spec=spec(p.spec)) for p in found) for n, found in world.policies.items()},
        cluster_policies=(*declared, *(replace(p, spec=replace(p.spec, issuers=())) for p in world.cluster_policies)),
        workloads={n: tuple(replace(p, proxied=True) for p in found) for n, found in world.workloads.items()},
    )


@pytest.fixture(scope="module")
def counted(summary: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    yield from counting(summary, "requests with tokens")


@settings(max_examples=FEWER)
@given(bearers(), st.integers(0, 2**32))
def test_every_request_with_a_token_is_in_the_piece_that_decide_finds(
    counted: Callable[[str], None], world: World, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 (not drawn one by one: that would be a large example)
    effective = cache(lambda name: resolve.resolve(world, name))
    wrong = []
    for source, target, protocol, port in telling(world, dice, PAIRS):
        if protocol is not Protocol.TCP:
            continue
        call = (world, effective, source, target)
        free = pieces.between(*call)
        for _ in range(SENT):
            bearer = {TOKENS: dice.choice(CLAIMS)}
            sent = Request(dice.choice(("GET", "POST")), dice.choice(("/a/x", "/c")), tokens=bearer)
            told = pieces.between(*call, told=Request(tokens=bearer))
            verdict = decided(call, protocol, port, False, sent)
            counted("CannotTell" if verdict is None else str(said_by(verdict).reason))
            for both in (free, told):
                point = point_of(Protocol.TCP, port, sent, both)
                found = outcomes(both, point)
                if verdict is None:
                    good = None in found.values()
                else:
                    good = found == {half.direction: said(half) for half in (verdict.egress, verdict.ingress)}
                if not good:
                    wrong.append(f"{show((source, target, protocol, port))} {sent}: {verdict}, but {found}")
            assert not any(name.startswith(dimensions.OF_TOKENS) for name in point_of(Protocol.TCP, port, sent, told))
    assert wrong == []
