"""What is kept of earlier compilations is never out of date: whatever changes, and in whatever order."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.effective import EffectivePolicy
from ringfence.model.names import LABEL_ENROLL, LABEL_ZONE
from ringfence.model.resources import Mode, ResourceMeta, SecurityPolicy, ServiceIdentity
from ringfence.model.world import Namespace, World
from ringfence.policy import overlaps
from ringfence.policy.resolve import resolve
from ringfence.translate import network_policy

from tests.property.judging import forget
from tests.property.world_installations import installations
from tests.property.worlds import IDENTITIES, NAMESPACES, ZONES, floors, pools, specs, subjects, worlds
from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

Change = Callable[[World, st.DataObject], World]
Meaning = list[tuple[EffectivePolicy, tuple[Any, ...]]]

#: Each is several worlds, compiled twice.
EXAMPLES = max(settings().max_examples // 5, 1)
EVERYWHERE = (*NAMESPACES, "lab", "legacy", "nowhere")


def meaning(world: World) -> Meaning:
    """All that is compiled of a world."""
    found = [resolve(world, name) for name in NAMESPACES]
    return [(policy, network_policy.objects(policy, world.installation)) for policy in found]


def a_policy(world: World, data: st.DataObject) -> World:
    """One policy comes, or another takes its place."""
    name, place = data.draw(st.sampled_from(NAMESPACES)), data.draw(st.integers(0, 3))
    spec = data.draw(pools().flatmap(specs))
    new = SecurityPolicy(ResourceMeta(f"p{place}", name), data.draw(subjects()), spec)
    rest = (each for each in world.policies[name] if each.meta.name != new.meta.name)
    return replace(world, policies={**world.policies, name: (*rest, new)})


def a_mode(world: World, data: st.DataObject) -> World:
    """The policies of a namespace go over to another mode, and say what they said."""
    name, mode = data.draw(st.sampled_from(NAMESPACES)), data.draw(st.sampled_from(Mode))
    changed = tuple(replace(each, spec=replace(each.spec, mode=mode)) for each in world.policies[name])
    return replace(world, policies={**world.policies, name: changed})


def no_policy(world: World, data: st.DataObject) -> World:
    """One policy goes."""
    name = data.draw(st.sampled_from(NAMESPACES))
    return replace(world, policies={**world.policies, name: world.policies[name][1:]})


def an_identity(world: World, data: st.DataObject) -> World:
    """An identity comes, or moves to another ServiceAccount."""
    name = data.draw(st.sampled_from((*NAMESPACES, "lab", "nowhere")))
    identity = data.draw(st.sampled_from((*IDENTITIES, "ghost")))
    account = data.draw(st.sampled_from((*IDENTITIES, "ghost", "x" * 70)))
    known = {**world.identities.get(name, {}), identity: ServiceIdentity(ResourceMeta(identity, name), account)}
    return replace(world, identities={**world.identities, name: known})


def no_identity(world: World, data: st.DataObject) -> World:
    """An identity goes."""
    name, gone = data.draw(st.sampled_from((*NAMESPACES, "lab"))), data.draw(st.sampled_from((*IDENTITIES, "ghost")))
    known = {each: value for each, value in world.identities.get(name, {}).items() if each != gone}
    return replace(world, identities={**world.identities, name: known})


def a_namespace(world: World, data: st.DataObject) -> World:
    """A Namespace comes, is enrolled or not any more, or changes its zone."""
    name = data.draw(st.sampled_from(EVERYWHERE))
    enrolled = data.draw(st.sampled_from(({}, {LABEL_ENROLL: "audit"}, {LABEL_ENROLL: "enforce"})))
    zone = data.draw(st.sampled_from(({}, *({LABEL_ZONE: each} for each in ZONES))))
    new = Namespace.of(name, {**enrolled, **zone}, enforced=data.draw(st.booleans()))
    return replace(world, namespaces={**world.namespaces, name: new})


def no_namespace(world: World, data: st.DataObject) -> World:
    """A Namespace goes, and what the caches still hold of it stays for a while."""
    gone = data.draw(st.sampled_from(EVERYWHERE))
    return replace(world, namespaces={name: each for name, each in world.namespaces.items() if name != gone})


def the_floors(world: World, data: st.DataObject) -> World:
    """Other floors."""
    return replace(world, cluster_policies=data.draw(pools().flatmap(floors)))


def the_installation(world: World, data: st.DataObject) -> World:
    """Another trust domain, other ranges, another address of the API server."""
    other = data.draw(installations())
    domain = data.draw(st.sampled_from(("cluster.local", "corp.example")))
    api_server = data.draw(st.sampled_from(((), (("192.168.1.1", 80),), (("192.168.1.2", 6443),))))
    return replace(world, installation=replace(other, trust_domain=domain, api_server=api_server))


CHANGES: tuple[Change, ...] = (
    a_policy,
    a_mode,
    no_policy,
    an_identity,
    no_identity,
    a_namespace,
    no_namespace,
    the_floors,
    the_installation,
)


@settings(max_examples=EXAMPLES)
@given(worlds(), st.lists(st.sampled_from(CHANGES), min_size=1, max_size=4), st.data())
def test_after_any_changes_the_meaning_is_that_of_a_process_that_starts_now(
    world: World, changes: list[Change], data: st.DataObject
) -> None:
    passed = [world]
    for change in changes:
        passed.append(change(passed[-1], data))
    found = [meaning(each) for each in passed]
    assert meaning(world) == found[0]
    for each, kept in zip(passed, found, strict=True):
        forget()
        assert meaning(each) == kept


@settings(max_examples=EXAMPLES)
@given(worlds(), st.sampled_from((0, 5, 20, 60, 150, 400)))
def test_with_little_work_left_what_is_kept_holds_back_the_same_rules(world: World, work: int) -> None:
    plenty = meaning(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlaps, "MAX_WORK", work)
        kept = [meaning(world), meaning(world)]
        never = overlaps._Judged((), (), overlaps._Budget(work + 1, work + 1))
        patch.setattr(overlaps, "_JUDGED", lambda case: never)
        assert kept == [meaning(world)] * 2
    assert meaning(world) == plenty


@pytest.mark.parametrize(("work", "held"), [(0, ["yes", "too"]), (50, ["too"]), (100, [])])
def test_the_later_policy_is_held_back_first(work: int, held: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without which the test above would compare nothing."""
    world = making.world(
        policy("a", ingress=(allow("yes", caller("web")), deny("no", caller("api")))),
        policy("b", ingress=(allow("too", caller("web"), ports=(80,)), deny("nor", caller("web"), ports=(80, 443)))),
    )
    resolve(world, "shop")
    monkeypatch.setattr(overlaps, "MAX_WORK", work)
    assert [rule.ref.rule for rule in resolve(world, "shop").rules if rule.suspended_by is not None] == held
