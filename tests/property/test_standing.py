"""What is said of a rule holds: one that has no effect can be taken away, and no call changes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from ringfence.model.effective import Direction
from ringfence.model.resources import Action, ClusterSecurityPolicy, Kind, SecurityPolicy
from ringfence.model.world import World
from ringfence.policy.reasoning.difference import difference
from ringfence.policy.reasoning.standing import Remark, Standing, standings

from tests.property.test_difference import FEWER, sides
from tests.property.worlds import NAMESPACES, worlds

Policy = SecurityPolicy | ClusterSecurityPolicy

#: A rule of which this is said has no effect.
IDLE = frozenset(Remark) - {Remark.PARTLY_DENIED}


def without(world: World, standing: Standing) -> World | None:
    """The world without a rule; None where a list of egress would go with it."""

    def changed(policy: Any) -> Any:
        if policy.meta.name != standing.ref.policy:
            return policy
        section = getattr(policy.spec, standing.direction.value)
        rest = tuple(rule for rule in section if rule.name != standing.ref.rule)
        return replace(policy, spec=replace(policy.spec, **{standing.direction.value: rest}))

    if standing.ref.kind == Kind.SECURITY_POLICY:
        own = tuple(changed(policy) for policy in world.policies[standing.ref.namespace])
        return replace(world, policies={**world.policies, standing.ref.namespace: own})
    if standing.direction is Direction.EGRESS and standing.action is Action.ALLOW:
        return None
    return replace(world, cluster_policies=tuple(changed(policy) for policy in world.cluster_policies))


@pytest.fixture(scope="module")
def counted(summary: Callable[[str], None]) -> Iterator[Callable[[Remark], None]]:
    found: dict[Remark, int] = {}

    def count(remark: Remark) -> None:
        found[remark] = found.get(remark, 0) + 1

    yield count
    summary("rules without effect, taken away: " + ", ".join(f"{n} {each}" for each, n in sorted(found.items())))
    assert {Remark.GUARD, Remark.REDUNDANT, Remark.CONTRADICTORY} <= found.keys()


@settings(max_examples=FEWER)
@given(worlds())
def test_a_rule_without_effect_can_go(counted: Callable[[Remark], None], world: World) -> None:
    _, (side,) = sides(world)
    rules = [rule for name in NAMESPACES for rule in side.effective(name).rules if rule.ref.kind != "Builtin"]
    for standing in standings(side, rules):
        for note in standing.notes:
            other = without(world, standing) if note.remark in IDLE and note.remark is not Remark.IMPOSSIBLE else None
            if other is None:
                continue
            counted(note.remark)
            _, (before, after) = sides(world, other)
            found = difference(before, after)
            assert (found.gained, found.lost) == ((), ()), f"{standing.ref} {note}"
