import asyncio
import copy

from ringfence.model.effective import EffectivePolicy
from ringfence.model.world import World
from ringfence.policy import resolve

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
    cluster.view.compile_all()
    assert cluster.view.unusable == ()


def test_a_resource_that_cannot_be_read_stops_no_other() -> None:
    cluster = FakeCluster(shop(floor("broken", "nonsense"), floor("good", "baseline")))
    assert [each.ref.policy for each in policy(cluster).admission] == ["good"]


def test_a_namespace_that_is_exempt_is_not_enrolled_whatever_it_says() -> None:
    cluster = FakeCluster([namespace("kube-system", "enforce"), namespace("ringfence-system", "audit")])
    for name in ("kube-system", "ringfence-system"):
        found = cluster.view.namespace(name)
        assert found is not None
        assert found.enrolment.value == "none"
