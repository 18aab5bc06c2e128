"""Everything of a plan is tried; what fails is said; what strangers add is taken away."""

import asyncio
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError, WriteRefused
from ringfence.reconcile import apply
from ringfence.reconcile.apply import PartlyApplied, Writer

from tests.unit.reconcile.fakes import FakeCluster
from tests.unit.reconcile.test_plan import policy


def named(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "networking.k8s.io/v1", **policy(name, **spec)}


def write(cluster: FakeCluster, *desired: dict[str, Any], absent_is_safe: bool = True, last: str = "") -> Writer:
    writer = Writer(cluster, "network", absent_is_safe=absent_is_safe)
    asyncio.run(writer.write(desired, cluster.lister("NetworkPolicy").list("shop"), last=last))
    return writer


def test_applies_then_prunes() -> None:
    cluster = FakeCluster()
    cluster.put(named("old"))
    write(cluster, named("new"))
    assert cluster.writes == [("apply", "NetworkPolicy", "new"), ("delete", "NetworkPolicy", "old")]
    assert cluster.names("NetworkPolicy", "shop") == ["new"]


@pytest.mark.parametrize("opens", [True, False])
def test_what_guards_stays_until_what_replaces_it_is_written(opens: bool) -> None:
    cluster = FakeCluster()
    cluster.put(named("old"))
    cluster.errors["apply", "NetworkPolicy", "new"] = RingfenceError("too large")
    with pytest.raises(PartlyApplied, match="too large"):
        write(cluster, named("new"), absent_is_safe=opens)
    assert cluster.names("NetworkPolicy", "shop") == ([] if opens else ["old"])
    cluster.errors.clear()
    write(cluster, named("new"), absent_is_safe=opens)
    assert cluster.names("NetworkPolicy", "shop") == ["new"]


def test_the_last_comes_last_and_goes_first() -> None:
    cluster = FakeCluster()
    write(cluster, named("deny"), named("allow"), last="deny")
    assert [name for _, _, name in cluster.writes] == ["allow", "deny"]
    cluster.writes.clear()
    write(cluster, last="deny")
    assert [name for _, _, name in cluster.writes] == ["deny", "allow"]


def test_one_failure_stops_nothing_else() -> None:
    cluster = FakeCluster()
    cluster.put(named("old"))
    cluster.errors["apply", "NetworkPolicy", "a"] = RingfenceError("etcd is away")
    with pytest.raises(PartlyApplied, match="NetworkPolicy shop/a: etcd is away"):
        write(cluster, named("a"), named("b"))
    assert cluster.names("NetworkPolicy", "shop") == ["b"]


def test_where_absence_is_safe_a_refused_state_removes_the_old_one() -> None:
    cluster = FakeCluster()
    cluster.put(named("a", ingress=[{}]))
    cluster.errors["apply", "NetworkPolicy", "a"] = WriteRefused("invalid")
    with pytest.raises(PartlyApplied):
        write(cluster, named("a", policyTypes=["Ingress"]))
    assert cluster.names("NetworkPolicy", "shop") == []


def test_the_one_that_closes_stays_whatever_is_refused() -> None:
    cluster = FakeCluster()
    cluster.put(named("deny", egress=[{}]))
    cluster.errors["apply", "NetworkPolicy", "deny"] = WriteRefused("quota")
    with pytest.raises(PartlyApplied):
        write(cluster, named("deny", policyTypes=["Ingress"]), last="deny")
    assert cluster.names("NetworkPolicy", "shop") == ["deny"]


def test_where_objects_guard_the_old_one_stays() -> None:
    cluster = FakeCluster()
    cluster.put(named("a", ingress=[{}]))
    cluster.errors["apply", "NetworkPolicy", "a"] = WriteRefused("invalid")
    with pytest.raises(PartlyApplied):
        write(cluster, named("a", policyTypes=["Ingress"]), absent_is_safe=False)
    assert cluster.names("NetworkPolicy", "shop") == ["a"]


def test_fields_of_strangers_are_written_away() -> None:
    cluster = FakeCluster()
    cluster.put(named("a", egress=[{}]))
    held = cluster.objects["NetworkPolicy", "shop", "a"]
    held["metadata"]["annotations"] = {"note": "mine"}
    cluster.additions["NetworkPolicy", "a"] = {"egress": [{}]}
    write(cluster, named("a", policyTypes=["Ingress"]))
    assert [verb for verb, _, _ in cluster.writes] == ["apply", "replace"]
    after = cluster.objects["NetworkPolicy", "shop", "a"]
    assert after["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


class Stubborn(FakeCluster):
    """A server that fills in a default unheard of."""

    async def apply(self, obj: Any, *, subresource: str = "") -> Any:
        answer = await super().apply(obj, subresource=subresource)
        answer["spec"] = {**answer["spec"], "newDefault": 1}
        return answer

    async def replace(self, obj: Any) -> Any:
        answer = await super().replace(obj)
        answer["spec"] = {**answer["spec"], "newDefault": 1}
        return answer


def test_defaults_of_a_newer_server_are_settled_with_once() -> None:
    cluster = Stubborn()
    writer = write(cluster, named("a"))
    assert [verb for verb, _, _ in cluster.writes] == ["apply", "replace"]
    asyncio.run(writer.write([named("a")], cluster.lister("NetworkPolicy").list("shop")))
    assert len(cluster.writes) == 2
    # What comes on top of them is still a difference.
    cluster.objects["NetworkPolicy", "shop", "a"]["spec"]["egress"] = [{}]
    asyncio.run(writer.write([named("a")], cluster.lister("NetworkPolicy").list("shop")))
    assert len(cluster.writes) > 2


class Contested:
    """A writer of one object that a stranger changes back at once, and a clock that the test moves."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.now = 0.0
        self.writer = Writer(self.cluster, "network", absent_is_safe=True, monotonic=lambda: self.now)

    def repair(self, desired: dict[str, Any]) -> float:
        self.cluster.put(named("a", ingress=[{}]))
        observed = self.cluster.lister("NetworkPolicy").list("shop")
        return asyncio.run(self.writer.write([desired], observed)).again_in


def test_a_contest_is_fought_every_few_seconds_only() -> None:
    contest = Contested()
    wanted = named("a", policyTypes=["Ingress"])
    assert [contest.repair(wanted) for _ in range(apply.CONTESTED_AFTER)] == [0.0] * apply.CONTESTED_AFTER
    assert contest.repair(wanted) == apply.CONTESTED_SECONDS
    assert len(contest.cluster.writes) == apply.CONTESTED_AFTER
    contest.now += apply.CONTESTED_SECONDS
    assert contest.repair(wanted) == 0.0
    assert contest.repair(wanted) == apply.CONTESTED_SECONDS


def test_a_new_wish_does_not_wait_for_an_old_contest() -> None:
    contest = Contested()
    for _ in range(apply.CONTESTED_AFTER + 1):
        contest.repair(named("a", policyTypes=["Ingress"]))
    assert contest.repair(named("a", policyTypes=["Egress"])) == 0.0


def test_after_a_calm_the_count_begins_anew() -> None:
    contest = Contested()
    wanted = named("a", policyTypes=["Ingress"])
    for _ in range(apply.CONTESTED_AFTER):
        contest.repair(wanted)
    contest.now += apply.CALM_SECONDS
    assert [contest.repair(wanted) for _ in range(apply.CONTESTED_AFTER)] == [0.0] * apply.CONTESTED_AFTER
