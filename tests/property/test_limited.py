"""What ``diff`` says of limits is what the limits that hold on a port come to, worked out port by port."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.resources import Protocol
from ringfence.model.traffic import OWN_BOUNDS, Bound, By, Limit, Rate
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, resolve, traffic
from ringfence.policy.algebra import ports
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.limited import TIMES, limited
from ringfence.policy.traffic import Held

from tests.property.judging import Question, questions
from tests.property.test_difference import FEWER, changed, sides

pytestmark = pytest.mark.timeout(3600)

CALLS = 300
#: Kinds of requests that limits may count apart, beside those of a caller.
STRANGER = ("no", "body")


@pytest.fixture(scope="module")
def counted(summary: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    counts: list[int] = []
    yield counts.append
    summary(f"limits: {sum(counts)} ports that are open on both sides, {len([c for c in counts if c])} pairs of worlds")


def envelope(held: Held, key: tuple[Any, ...] | None) -> frozenset[tuple[Fraction, int]]:
    """The rates to which requests of many senders are held that are alike in ``key`` alone; the slowest of each."""
    found = {(Fraction(rate.requests, rate.period), rate.burst) for _, limit in held.limits for rate in of(limit, key)}
    return frozenset(
        one for one in found if not any(two != one and two[0] <= one[0] and two[1] <= one[1] for two in found)
    )


def of(limit: Limit, key: tuple[Any, ...] | None) -> list[Rate]:
    """What a limit says of requests that are alike in ``key``."""
    if limit.by is By.ALL:
        return [limit.rate]
    if key is None or limit.by is not key[0]:
        return []
    if limit.by is By.CALLER:
        return [next((each.rate for each in limit.named if (each.namespace, each.name) == key[1]), limit.rate)]
    return [limit.rate] if (limit.header, limit.issuer, limit.claim) == key[1] else []


def keys(*helds: Held) -> set[tuple[Any, ...] | None]:
    """Whatever limits tell apart on either side."""
    limits = [limit for held in helds for _, limit in held.limits]
    named = {(By.CALLER, (each.namespace, each.name)) for limit in limits for each in limit.named}
    others = {
        (limit.by, (limit.header, limit.issuer, limit.claim)) for limit in limits if limit.by in (By.CLAIM, By.HEADER)
    }
    return {None, (By.CALLER, STRANGER), *named, *others}


def bounds(held: Held) -> dict[Bound, int]:
    found = dict(OWN_BOUNDS)
    for bound, most, _ in held.bounds:
        value = most // 1024 * 1024 if bound is Bound.HEADERS_SIZE else most
        found[bound] = min(value, found.get(bound, value))
    return found


def without_unknown(held: Held, known: Mapping[str, Any]) -> Held:
    """A limit by tokens of nobody's issuer is one of all."""
    limits = tuple(
        (ref, Limit(By.ALL, each.rate) if each.by is By.CLAIM and each.issuer not in known else each)
        for ref, each in held.limits
    )
    return replace(held, limits=limits)


def judged(world: World, question: Question, effective: decide.Effective) -> Held | None:
    """What holds on the port that is called; None where the source is not let in."""
    source, target, protocol, port = question
    if not decide.decide(world, effective, source, target, protocol, port).ingress.allowed:
        return None
    located = ends.locate(world, target)
    assert isinstance(located, Workload)
    policy = effective(located.namespace)
    names = ends.port_names(located, port, protocol)
    held = traffic.on_port(policy, located.labels, port, names)
    return without_unknown(held, {key: 1 for box, key, _ in policy.issuers if box.matches(located.labels)})


@settings(max_examples=FEWER)
@given(changed(), st.integers(0, 2**32))
def test_limits_differ_where_what_passes_does(
    counted: Callable[[int], None], both: tuple[World, World], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 (not drawn one by one: that would be a large example)
    found, (before, after) = sides(*both)
    rows = limited(before, after)
    effective = [cache(lambda name, world=world: resolve.resolve(world, name)) for world in both]
    asked = [each for each in questions(both[0]) if isinstance(each[1], Workload) and each[2] is Protocol.TCP]
    seen = 0
    for question in dice.sample(asked, min(CALLS, len(asked))):
        old, new = (judged(world, question, known) for world, known in zip(both, effective, strict=True))
        if old is None or new is None or question[1].host_network:  # type: ignore[union-attr]
            continue
        seen += 1
        place = kinds.number_of(found, ends.locate(both[0], question[1]), both[0])  # type: ignore[arg-type]
        here = [row for row in rows if place in row.pods and ports.member(Protocol.TCP, question[3]) in row.ports]
        pairs = [(envelope(old, key), envelope(new, key)) for key in keys(old, new)]
        was, is_ = bounds(old), bounds(new)
        looser = [bound for bound in was if is_.get(bound, was[bound] + 1) > was[bound]]
        headers = [(held.to_program, held.to_caller) for held in (old, new)]
        differs = any(one != other for one, other in pairs) or was != is_ or headers[0] != headers[1]
        assert bool(here) is differs
        assert any(row.wider for row in here) is (
            any(passes_more(*pair) for pair in pairs)
            or any(bound not in TIMES for bound in looser)
            or any(set(one.names) - set(other.names) for one, other in zip(*headers, strict=True))
        )
    counted(seen)


def passes_more(old: frozenset[tuple[Fraction, int]], new: frozenset[tuple[Fraction, int]]) -> bool:
    """Whether some rate of the old ones is exceeded by all of the new ones, in the long run or at once."""
    return any(all(two[0] > one[0] or two[1] > one[1] for two in new) for one in old)
