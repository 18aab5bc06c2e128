"""A difference of policies holds exactly the calls of which ``decide`` says one thing before and another after."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.effective import Direction
from ringfence.model.resources import Protocol, Rule, SecurityPolicy
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, resolve
from ringfence.policy.algebra import diagram, ports
from ringfence.policy.decide import Call
from ringfence.policy.reasoning import deciding, kinds
from ringfence.policy.reasoning.difference import Change, Difference, difference
from ringfence.policy.reasoning.kinds import Kinds
from ringfence.policy.reasoning.side import Side

from tests.property.judging import decided, questions, show
from tests.property.worlds import NAMESPACES, floors, policies, pools, worlds

#: Each example is a few thousand calls.
FEWER = max(settings.default.max_examples * 2 // 5, 1)


def sides(*compared: World) -> tuple[Kinds, list[Side]]:
    effective = [cache(lambda name, world=world: resolve.resolve(world, name)) for world in compared]
    known = [{name: found(name) for name in world.namespaces} for world, found in zip(compared, effective, strict=True)]
    found = kinds.of(compared, known)
    return found, [Side(world, policy, found) for world, policy in zip(compared, effective, strict=True)]


def compared(old: World, new: World) -> tuple[Kinds, Difference]:
    found, (before, after) = sides(old, new)
    return found, difference(before, after)


def member(changes: Sequence[Change], source: int, target: int, protocol: Protocol, port: int) -> bool:
    point = {"port": ports.member(protocol, port)}
    return any(
        target in each.targets and source in each.sources and diagram.holds(each.requests, point) for each in changes
    )


@pytest.fixture(scope="module")
def summary_of_pairs(summary: Callable[[str], None]) -> Iterator[Callable[[int], None]]:
    """Counts the calls that were asked about, for the end of the run."""
    counts: list[int] = []
    yield counts.append
    summary(f"difference of policies: {sum(counts)} calls in {len(counts)} pairs of worlds, as decide says of both")


@st.composite
def changed(draw: st.DrawFn) -> tuple[World, World]:
    """A world, and the same with other policies."""
    world = draw(worlds())
    pool = draw(pools())
    own = {name: draw(policies(name, pool)) for name in NAMESPACES}
    some = draw(st.sampled_from(((), NAMESPACES[:1], NAMESPACES)))
    new = replace(world, policies={**world.policies, **{name: own[name] for name in some}})
    if draw(st.booleans()):
        new = replace(new, cluster_policies=draw(floors(pool)))
    return world, new


@settings(max_examples=FEWER)
@given(changed())
def test_the_calls_of_which_decide_says_another_thing_are_the_difference(
    summary_of_pairs: Callable[[int], None], both: tuple[World, World]
) -> None:
    old, new = both
    found, changes = compared(old, new)
    asked = questions(old)
    numbers: dict[Any, int] = {}
    wrong = []
    for question, before, after in zip(asked, decided(old, asked), decided(new, asked), strict=True):
        source, target, protocol, port = question
        pair = [numbers.setdefault(repr(end), kinds.number_of(found, end, old)) for end in (source, target)]
        was, is_ = all(before), all(after)
        said = tuple(member(some, *pair, protocol, port) for some in (changes.gained, changes.lost))
        if said != (is_ and not was, was and not is_):
            wrong.append(f"{show(question)}: was {was}, is {is_}; said gained, lost: {said}")
    summary_of_pairs(len(asked))
    assert wrong == []


def rewritten(policies: Sequence[SecurityPolicy], dice: Any, *, apart: bool) -> list[SecurityPolicy]:
    """The same policies with each rule in one of its own (``apart``: each peer and port too), named anew, shuffled."""
    found = []
    for policy in policies:
        spec = policy.spec
        found.append(
            replace(
                policy, spec=replace(spec, ingress=() if spec.ingress else None, egress=() if spec.egress else None)
            )
        )
        for section in ("ingress", "egress"):
            rules = [part for rule in getattr(spec, section) or () for part in (pieces(rule) if apart else [rule])]
            bare = replace(spec, transport=None, ingress=None, egress=None)
            found += [replace(policy, spec=replace(bare, **{section: (rule,)})) for rule in rules]
    dice.shuffle(found)
    names = [f"n{number}" for number in range(len(found))]
    return [replace(each, meta=replace(each.meta, name=name)) for each, name in zip(found, names, strict=True)]


def pieces(rule: Rule) -> list[Rule]:
    """A rule for each peer and port."""
    peers = [None] if rule.peers is None else [(peer,) for peer in rule.peers]
    ports_ = [None] if rule.ports is None else [(port,) for port in rule.ports]
    return [replace(rule, peers=peer, ports=port) for peer in peers for port in ports_]


def holds_back(world: World) -> bool:
    """Whether some Allow is held back for a Deny."""
    return any(rule.suspended_by for name in NAMESPACES for rule in resolve.resolve(world, name).rules)


@given(worlds(), st.randoms(use_true_random=False))
def test_names_order_and_how_rules_are_split_are_no_difference(world: World, dice: Any) -> None:
    def written(*, apart: bool) -> World:
        return replace(
            world, policies={name: tuple(rewritten(some, dice, apart=apart)) for name, some in world.policies.items()}
        )

    # A rule that is held back whole is another one than its pieces, of which some may not be; and a Deny in pieces may
    # hold back what it does not as a whole: a range of ports and a name are taken out together or not at all.
    other = written(apart=True)
    if holds_back(world) or holds_back(other):
        other = written(apart=False)
    for old, new in ((world, other), (other, world)):
        _, changes = compared(old, new)
        assert changes == Difference((), ())


@given(worlds(), st.integers(0, 12))
def test_each_end_says_what_decide_says_and_by_the_same_rule(world: World, start: int) -> None:
    found, (side,) = sides(world)
    effective = cache(lambda name: resolve.resolve(world, name))
    for source, target, protocol, port in questions(world)[start::13]:
        verdict = decide.decide(world, effective, source, target, protocol, port)
        numbers = [kinds.number_of(found, end, world) for end in (source, target)]
        for half in (verdict.ingress, verdict.egress):
            said = deciding.half(side, half.direction, *numbers, {"port": ports.member(protocol, port)})
            assert said == replace(half, audit=None, audit_rule=None)


@given(worlds(), st.integers(0, 12))
def test_with_audit_each_end_says_what_would_hold_if_all_were_enforced(world: World, start: int) -> None:
    found, (plain,) = sides(world)
    side = Side(world, plain.effective, found, audit=True)
    for source, target, protocol, port in questions(world)[start::13]:
        numbers = [kinds.number_of(found, end, world) for end in (source, target)]
        names = ends.port_names(target, port, protocol)
        for direction, governed, other in ((Direction.INGRESS, target, source), (Direction.EGRESS, source, target)):
            said = deciding.half(side, direction, *numbers, {"port": ports.member(protocol, port)})
            if not isinstance(governed, Workload) or governed.host_network:
                assert said.allowed
                continue
            policy = side.effective(governed.namespace)
            call = Call(world, direction, governed, ends.locate(world, other), protocol, port, names)
            expected = policy.enrolment == "none" or decide.judge(policy, call, audit=True).allowed
            assert said.allowed == expected
