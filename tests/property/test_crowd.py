"""Sets of ends are answered as ``decide`` answers each pair of them."""

import random
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.errors import CannotTell
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked as Sent
from ringfence.model.requests import Opaque, Request
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.world import Workload, World
from ringfence.policy import decide, resolve
from ringfence.policy.algebra import diagram, dimensions, ports
from ringfence.policy.algebra.ports import NO_NAMES, Ports
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning import crowd, kinds, points
from ringfence.policy.reasoning.crowd import Asked, Group

from tests.property.judging import show, telling
from tests.property.test_difference import sides
from tests.property.test_pieces import SOME, clear, some_request
from tests.property.worlds import about_requests

pytestmark = pytest.mark.timeout(3600)

FEWER = max(settings.default.max_examples // 5, 1)
CALLS = 150
#: The ports that speak HTTP in these tests.
HTTP = (80, 9090)
SPEAKS = Ports.at(PortSet.of([PortSpec(number) for number in HTTP]), NO_NAMES)


@pytest.fixture(scope="module")
def counted(summary: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    counts: list[int] = []
    yield counts.append
    summary(f"answers about sets of ends: {sum(counts)} calls in {len(counts)} worlds, as decide says of each")


def member(found: tuple[Group, ...], source: int, target: int, point: dict[str, object]) -> list[bool]:
    """What each group that holds a pair says of a request; a pair is never in none."""
    whole = dimensions.point(point)
    return [diagram.holds(g.requests, whole) for g in found if source in g.sources and target in g.targets]


@settings(max_examples=FEWER)
@given(about_requests(SOME), st.integers(0, 2**32))
def test_groups_hold_the_calls_that_decide_allows(counted: Callable[[int], None], world: World, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (not drawn one by one: that would be a large example)
    effective = cache(lambda name: resolve.resolve(world, name))
    known, (side,) = sides(world)
    calls = telling(world, dice, CALLS)
    pairs = [tuple(kinds.number_of(known, end, world) for end in call[:2]) for call in calls]
    sources, targets = Members.of(pair[0] for pair in pairs), Members.of(pair[1] for pair in pairs)
    told = some_request(dice) if dice.random() < 0.5 else None
    answers = crowd.groups(side, sources, targets, Asked(http=lambda _: SPEAKS, request=told))
    wrong = []
    for (source, target, protocol, port), pair in zip(calls, pairs, strict=True):
        request = told or some_request(dice)
        speaks = protocol is Protocol.TCP and port in HTTP
        sent: Sent = request if speaks or not isinstance(target, Workload) else Opaque()
        if told is None and not clear(sent):
            continue
        try:
            verdict = decide.decide(world, effective, source, target, protocol, port, request=sent)
        except CannotTell:
            continue
        # What is told of a request is no dimension of the answer any more.
        values = points.point(request) if told is None and isinstance(sent, Request) else {}
        said = member(answers, *pair, {**values, "port": ports.member(protocol, port)})
        if any(said) is not verdict.allowed or not said:
            wrong.append(f"{show((source, target, protocol, port))} {sent}: {verdict}, but {said}")
    counted(len(calls))
    assert wrong == []
