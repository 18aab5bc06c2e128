"""What is asked everywhere, whether it has changed, and what nobody can say."""

from datetime import UTC, datetime
from typing import Any

import pytest
from ringfence import api
from ringfence.model.world import Installation
from ringfence.reconcile import asked, gather
from ringfence.reconcile.asked import Asked

from tests.unit.reconcile import fakes


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.clock = fakes.FakeClock()
        gatherer = gather.Gatherer(fakes.listers(self.cluster), api.parse, Installation)
        self.asked = Asked(gatherer, self.clock.now)

    def floor(self, level: str = "restricted", **spec: Any) -> None:
        self.cluster.put(fakes.cluster_policy("floor", admission={"podSecurity": level}, **spec))

    def where(self) -> list[str]:
        return [each.namespace for each in self.asked.everywhere().placed]


@pytest.fixture
def rig() -> Rig:
    made = Rig()
    for name, enroll in (("a", "enforce"), ("b", "enforce"), ("c", "audit"), ("d", ""), ("kube-system", "enforce")):
        made.cluster.put(fakes.namespace(name, enroll))
    return made


def test_only_enforced_namespaces_are_asked_and_never_the_clusters_own(rig: Rig) -> None:
    rig.floor()
    assert rig.where() == ["a", "b"]


def test_a_change_is_noticed_once(rig: Rig) -> None:
    rig.asked.everywhere()
    assert not any(rig.asked.differs(name) for name in ("a", "b", "c", "d", "gone"))
    rig.floor()
    assert [name for name in "abcd" if rig.asked.differs(name)] == ["a", "b"]
    rig.asked.everywhere()
    assert not rig.asked.differs("a")
    rig.cluster.put(fakes.namespace("a", "audit"))
    rig.cluster.put(fakes.namespace("c", "enforce"))
    assert [name for name in "abcd" if rig.asked.differs(name)] == ["a", "c"]


def test_a_namespace_that_is_gone_is_noticed(rig: Rig) -> None:
    rig.asked.everywhere()
    del rig.cluster.objects["Namespace", "", "a"]
    assert rig.asked.differs("a")
    assert rig.where() == ["b"]


def test_it_is_looked_at_again_when_the_first_exception_ends(rig: Rig) -> None:
    rig.cluster.put(fakes.identity("a", "agent"))
    said = {"namespace": "a", "identities": ["agent"], "controls": ["host-path"], "reason": "a test"}
    untils = [rig.clock.now() + seconds for seconds in (-5, 7, 3600)]
    exceptions = [{**said, "name": f"e{number}", "until": _written(until)} for number, until in enumerate(untils)]
    rig.floor(exceptions=exceptions)
    seen = rig.asked.everywhere()
    assert 6 <= seen.again_in <= 7
    assert len(next(each for each in seen.placed if each.namespace == "a").requirement.exemptions) == 2
    assert not next(each for each in seen.placed if each.namespace == "b").requirement.exemptions


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_and_then_it_is_taken_out_without_being_told_of_anything(rig: Rig) -> None:
    rig.cluster.put(fakes.identity("a", "agent"))
    end = rig.clock.now() + 20
    said = {"name": "e", "namespace": "a", "identities": ["agent"], "controls": ["host-path"], "reason": "a test"}
    rig.floor(exceptions=[{**said, "until": _written(end)}])
    before = rig.asked.everywhere()
    rig.clock.seconds = end - 1
    assert rig.asked.everywhere().placed == before.placed
    rig.clock.seconds = end
    after = rig.asked.everywhere()
    assert after.placed != before.placed
    assert after.again_in == 0.0


def test_what_nobody_told_of_is_seen_within_a_minute(rig: Rig) -> None:
    rig.asked.everywhere()
    rig.cluster.put(fakes.namespace("a", "audit"), fakes.namespace("e", "enforce"))
    assert rig.where() == ["a", "b", "e"]
    rig.clock.seconds += asked.REMEMBERED_SECONDS
    assert rig.where() == ["b", "e"]


def test_what_was_never_understood_leaves_its_namespaces_undecided(rig: Rig) -> None:
    assert rig.asked.everywhere().undecided == frozenset()
    broken = fakes.policy("b", "broken", [])
    broken["spec"]["admission"] = {"podSecurity": "no such level"}
    rig.cluster.put(broken)
    assert rig.asked.differs("b")
    assert rig.asked.everywhere().undecided == {"b"}
