"""Ends in kinds: what rules tell apart, and no more."""

from collections.abc import Collection
from dataclasses import replace

from ringfence.model.resources import AppliesTo
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy.reasoning import kinds
from ringfence.policy.reasoning.kinds import OTHER, WHOLE, Focus, Kinds

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, pod, policy


def sort(world: World, focus: Focus = WHOLE) -> Kinds:
    effective = making.effective(world)
    names = [name for name in world.namespaces if focus.among is None or name in focus.among]
    return kinds.of([world], [{name: effective(name) for name in names}], focus)


def accounts(found: Kinds, namespace: str = "shop") -> list[Collection[str | None]]:
    """The identities of each kind of a namespace."""
    return [found.all[number].accounts for number in found.by_namespace[namespace]]


def test_identities_that_nothing_tells_apart_share_a_kind() -> None:
    assert accounts(sort(making.world())) == [(OTHER,), ("api", "db", "web")]


def test_one_that_a_rule_names_has_a_kind_of_its_own() -> None:
    named = making.world(policy(ingress=(allow("a", caller("web")),)))
    assert accounts(sort(named)) == [(OTHER,), ("api", "db"), ("web",)]
    governed = making.world(policy(applies_to=AppliesTo(identities=("db",)), ingress=(allow("a", caller("web")),)))
    assert accounts(sort(governed)) == [(OTHER,), ("api",), ("db",), ("web",)]
    together = making.world(policy(applies_to=AppliesTo(identities=("api", "db")), ingress=(allow("a"),)))
    assert accounts(sort(together)) == [(OTHER,), ("api", "db"), ("web",)]
    elsewhere = making.world(policy(namespace="bank", ingress=(allow("a", caller("api")),)))
    assert accounts(sort(elsewhere)) == [(OTHER,), ("api",), ("db", "web")]


def test_an_identity_without_a_resource_is_not_like_one_with() -> None:
    assert accounts(sort(making.world(pods=(pod("ghost"),)))) == [(OTHER,), ("api", "db", "web"), ("ghost",)]


def test_pods_count_as_they_are() -> None:
    web = replace(pod("web"), ports=(ContainerPort("http", 8080),))
    db, other = (replace(pod(name), ports=(ContainerPort("sql", 5432),)) for name in ("db", "api"))
    found = sort(making.world(pods=(web, db, other)))
    assert accounts(found) == [(OTHER,), ("api", "db"), ("web",)]
    numbers = [kinds.number_of(found, each, making.world()) for each in (web, db, other)]
    assert [found.all[number].known for number in numbers] == [True, True, True]
    assert numbers[1] == numbers[2] != numbers[0]


def test_a_focus_keeps_apart_what_is_asked_about() -> None:
    world = making.world(pods=(pod("web"), pod("db", tier="data")))

    def tier(each: Workload) -> str:
        return each.labels.get("tier", "")

    assert accounts(sort(world, Focus(apart=frozenset({("shop", "web")})))) == [(OTHER,), ("api",), ("db",), ("web",)]
    assert accounts(sort(world)) == [(OTHER,), ("api",), ("db", "web")]
    told = sort(world, Focus(also=tier))
    assert accounts(told) == [(OTHER,), ("api",), ("db",), ("web",)]
    assert [kind.names.unknown for kind in sort(world, Focus(ports=("http",))).all[:2]] == [("http",), ("http",)]


def test_only_what_is_asked_about_is_sorted() -> None:
    found = sort(making.world(), Focus(among=frozenset({"shop", "gone"})))
    assert sorted(found.by_namespace) == ["gone", "shop"]
    assert found.nowhere == {"gone"}
    assert not found.whole
    assert found.first_address == len([kind for kind in found.all if kind.pod is not None])
