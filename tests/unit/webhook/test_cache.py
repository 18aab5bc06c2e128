import asyncio
import copy
import time

import pytest
from ringfence.model.effective import EffectivePolicy
from ringfence.model.world import World
from ringfence.policy import resolve
from ringfence.webhook.cache import network_ready
from ringfence.webhook.view import NoPolicy

from tests.unit.webhook.fakes import FakeCluster, floor, identity, namespace, shop


class Counting(FakeCluster):
    """Counts how often a namespace is compiled."""

    compiled = 0

    def _resolve(self, world: World, namespace: str) -> EffectivePolicy:
        self.compiled += 1
        return resolve.resolve(world, namespace)


def policy(cluster: FakeCluster, name: str = "shop") -> EffectivePolicy:
    found = cluster.view.namespace(name)
    assert found is not None
    return cluster.view.policy(found)


def test_a_policy_is_compiled_once_for_each_change() -> None:
    cluster = Counting(shop())
    for _ in range(3):
        policy(cluster)
    assert cluster.compiled == 1
    cluster.view.changed("other")
    policy(cluster)
    assert cluster.compiled == 1
    cluster.view.changed("shop")
    policy(cluster)
    cluster.view.changed("")
    policy(cluster)
    assert cluster.compiled == 3
    assert cluster.view.revision == 3


def test_new_labels_of_the_namespace_count_at_once() -> None:
    cluster = Counting(shop())
    policy(cluster)
    relabelled = copy.deepcopy(dict(cluster.namespaces.objects["", "shop"]))
    relabelled["metadata"]["labels"]["team"] = "x"
    cluster.namespaces.objects["", "shop"] = relabelled
    policy(cluster)
    assert cluster.compiled == 2


def test_what_changed_is_compiled_in_the_background() -> None:
    cluster = Counting([*shop(), namespace("plain"), namespace("audited", "audit")])

    async def for_a_while() -> None:
        cluster.view.compile_all()
        assert cluster.compiled == 2
        task = asyncio.create_task(cluster.view.keep_compiled())
        cluster.identities.objects["shop", "new"] = identity("shop", "new")
        cluster.view.changed("shop")
        cluster.view.changed("plain")
        while cluster.view._changed:  # noqa: ASYNC110 (it is the task's own mark that is waited for)
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(for_a_while())
    assert cluster.compiled == 3
    assert ("new", "new") in policy(cluster).service_accounts
    assert cluster.compiled == 3


def test_a_defect_in_one_namespace_stops_no_other() -> None:
    cluster = FakeCluster([*shop(), namespace("audited", "audit")])
    cluster.broken = RuntimeError()
    cluster.view.compile_all()
    assert cluster.view.unusable == ("audited", "shop")
    cluster.broken = None
    cluster.view.changed("")
    cluster.view.compile_all()
    assert cluster.view.unusable == ()


def test_a_policy_that_was_never_understood_may_forbid_anything() -> None:
    cluster = FakeCluster([*shop(floor("broken", "nonsense"), floor("good", "baseline")), namespace("other", "audit")])
    for name in ("shop", "other"):
        for _ in range(2):
            with pytest.raises(NoPolicy, match="ClusterSecurityPolicy broken"):
                policy(cluster, name)
    assert cluster.view.unusable == ("other", "shop")
    del cluster.cluster_policies.objects["", "broken"]
    cluster.view.changed("")
    assert [each.ref.policy for each in policy(cluster).admission] == ["good"]
    assert cluster.view.unusable == ("other",)


def test_rules_cost_admission_nothing_however_many_there_are() -> None:
    """What this policy comes to as a network takes seconds to work out; every review of the cluster would wait."""
    peers = [{"namespace": f"n{index}"} for index in range(64)]
    denies = [{"name": f"d{index}", "action": "Deny", "from": peers, "ports": [index + 1]} for index in range(50)]
    allows = [{"name": f"a{index}", "ports": [index + 1]} for index in range(50)]
    metadata = {"name": "bomb", "namespace": "shop"}
    spec = {"ingress": [*denies, *allows], "admission": {"podSecurity": "restricted"}}
    bomb = {"apiVersion": "ringfence.dev/v1alpha1", "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}
    cluster = FakeCluster(shop(bomb))
    cluster.view.identities("shop")
    start = time.process_time()
    assert [each.ref.policy for each in policy(cluster).admission] == ["bomb"]
    # Nearly all of it is reading the resource once.
    assert time.process_time() - start < 1.0


def test_that_of_another_namespace_is_none_of_ours() -> None:
    broken = {**floor("broken", "nonsense"), "kind": "SecurityPolicy", "metadata": {"name": "b", "namespace": "other"}}
    cluster = FakeCluster([*shop(), namespace("other", "audit"), broken])
    assert policy(cluster).namespace == "shop"
    with pytest.raises(NoPolicy):
        policy(cluster, "other")


def test_one_that_is_spoilt_later_stays_in_force_as_it_was() -> None:
    cluster = FakeCluster(shop(floor("floor", "baseline")))
    assert len(policy(cluster).admission) == 1
    cluster.cluster_policies.objects["", "floor"] = floor("floor", "nonsense")
    cluster.view.changed("")
    assert len(policy(cluster).admission) == 1
    assert cluster.view.unusable == ()


def test_a_namespace_that_is_exempt_is_not_enrolled_whatever_it_says() -> None:
    cluster = FakeCluster([namespace("kube-system", "enforce"), namespace("ringfence-system", "audit")])
    for name in ("kube-system", "ringfence-system"):
        found = cluster.view.namespace(name)
        assert found is not None
        assert found.enrolment.value == "none"


def test_pods_wait_for_the_default_deny_unless_the_namespace_is_not_to_be_closed_yet() -> None:
    def said(reason: str) -> dict[str, object]:
        condition = {"type": "ringfence.dev/Enforced", "status": "False", "reason": reason}
        return {"metadata": {"name": "shop"}, "status": {"conditions": [condition]}}

    assert network_ready(said("Staged"), None)
    assert network_ready(said("StrangersNetworkPolicies"), None)
    assert not network_ready(said("Undecided"), None)
    assert not network_ready({"metadata": {"name": "shop"}}, None)
