"""Sets of ends are answered as ``decide`` answers each pair of them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked as Sent
from ringfence.model.requests import Opaque, Request
from ringfence.model.resources import PortSpec, Protocol
from ringfence.model.world import Workload, World
from ringfence.policy import decide, resolve
from ringfence.policy.algebra import diagram, dimensions, ports
from ringfence.policy.algebra.ports import NO_NAMES, Ports
from ringfence.policy.algebra.values import Members
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End
from ringfence.policy.reasoning import crowd, kinds, points
from ringfence.policy.reasoning.concerning import ADDRESSES, EVERYONE, Concerning, Ends
from ringfence.policy.reasoning.crowd import Asked, Group
from ringfence.policy.reasoning.kinds import Focus
from ringfence.policy.reasoning.side import Side

from tests.property.judging import Question, show, telling
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


@dataclass(frozen=True)
class Judged:
    """Holds answers about sets of ends of one world against ``decide``."""

    world: World
    dice: random.Random

    def wrong(self, side: Side, calls: list[Question]) -> list[str]:
        """Those of the calls of which the answer says another thing than ``decide``."""
        pairs = [tuple(kinds.number_of(side.kinds, end, self.world) for end in call[:2]) for call in calls]
        sources, targets = Members.of(pair[0] for pair in pairs), Members.of(pair[1] for pair in pairs)
        told = some_request(self.dice) if self.dice.random() < 0.5 else None
        answers = crowd.groups(side, sources, targets, Asked(http=lambda _: SPEAKS, request=told))
        said = (self._wrong(answers, told, *each) for each in zip(calls, pairs, strict=True))
        return [each for each in said if each]

    def _wrong(self, answers: tuple[Group, ...], told: Request | None, call: Question, pair: tuple[int, ...]) -> str:
        source, target, protocol, port = call
        request = told or some_request(self.dice)
        speaks = protocol is Protocol.TCP and port in HTTP
        sent: Sent = request if speaks or not isinstance(target, Workload) else Opaque()
        if told is None and not clear(sent, target, self.effective):
            return ""
        try:
            verdict = decide.decide(self.world, self.effective, source, target, protocol, port, request=sent)
        except CannotTell:
            return ""
        # What is told of a request is no dimension of the answer any more.
        values = points.point(request) if told is None and isinstance(sent, Request) else {}
        said = member(answers, pair[0], pair[1], {**values, "port": ports.member(protocol, port)})
        if any(said) is verdict.allowed and said:
            return ""
        return f"{show(call)} {sent}: {verdict}, but {said}"

    @cached_property
    def effective(self) -> Effective:
        return cache(lambda name: resolve.resolve(self.world, name))


@settings(max_examples=FEWER)
@given(about_requests(SOME), st.integers(0, 2**32))
def test_groups_hold_the_calls_that_decide_allows(counted: Callable[[int], None], world: World, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (not drawn one by one: that would be a large example)
    _, (side,) = sides(world)
    calls = telling(world, dice, CALLS)
    counted(len(calls))
    assert Judged(world, dice).wrong(side, calls) == []


@settings(max_examples=FEWER)
@given(about_requests(SOME), st.integers(0, 2**32))
def test_what_has_no_say_can_be_left_out(counted: Callable[[int], None], world: World, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 (as above)
    judged = Judged(world, dice)
    asked = telling(world, dice, CALLS)
    sources, targets = (some_ends(dice, [call[place] for call in asked], world) for place in (0, 1))
    calls = [call for call in asked if among(sources, call[0]) and among(targets, call[1])]
    left = Concerning(world, judged.effective, sources, targets)
    focus = Focus(left.namespaces, sources.by_name | targets.by_name)
    own = [name for name in world.namespaces if focus.among is None or name in focus.among]
    known = kinds.of([world], [{name: left.policy(name) for name in own}], focus)
    counted(len(calls))
    assert judged.wrong(Side(world, left.policy, known, matters=left.matters), calls) == []


def some_ends(dice: random.Random, ends: list[End], world: World) -> Ends:
    """Some ends as questions name them: a few, those of some namespaces, addresses, or everyone."""
    few = dice.sample(ends, min(len(ends), 3))
    names = dice.sample(sorted(world.namespaces), 2)
    return dice.choice((Ends.of(few), Ends.of(few[:1]), Ends.in_namespaces(names), ADDRESSES, EVERYONE))


def among(some: Ends, end: End) -> bool:
    """Whether an end is one of those."""
    if not isinstance(end, Workload) or end.host_network:
        return some.addresses
    if some.pods is None:
        return True
    accounts = some.pods.get(end.namespace, frozenset())
    return accounts is None or end.labels.get(LABEL_IDENTITY) in accounts
