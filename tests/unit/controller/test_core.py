"""What wakes the core, what it works through, and when it says that it is ready."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ringfence import caches, wiring
from ringfence.controller import core
from ringfence.controller.core import Core, Sighting
from ringfence.controller.triggers import CLUSTER
from ringfence.kube import watch
from ringfence.kube.clock import SystemClock
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_ENROLL

from tests.unit.controller.core_fakes import FakeCa, FakeClusterReconciler, FakeForeign, FakeReconciler, FakeScanner
from tests.unit.kube.fakes import FakeApi, listing

NAMES = caches.CONTROLLER


class Rig:
    """A core on caches that hold what they are given and whose watches stay silent."""

    def __init__(self) -> None:
        made = {}
        for name in NAMES:
            api = FakeApi(answers=[listing()])
            made[name] = watch.Reflector(api, caches.KINDS[name][0])
        self.caches = caches.Caches(made)
        self.namespaces = FakeReconciler()
        self.cluster = FakeClusterReconciler()
        self.ca = FakeCa()
        parts = SimpleNamespace(
            clock=SystemClock(),
            caches=self.caches,
            namespaces=self.namespaces,
            cluster=self.cluster,
            ca=self.ca,
            certificates=SimpleNamespace(due=None),
            secrets=SimpleNamespace(callback=None),
            trust=SimpleNamespace(callback=None),
            foreign=FakeForeign(),
            meter=SimpleNamespace(clear=lambda: None),
            scanner=FakeScanner(),
            verdicts=None,
        )
        self.parts = parts
        self.core = Core(cast("wiring.Operator", parts))

    def have(self, cache: str, name: str, namespace: str = "", version: str = "5", **metadata: Any) -> None:
        obj = {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version, **metadata}}
        if not namespace:
            del obj["metadata"]["namespace"]
        self.caches[cache]._store.put(obj)

    def tell(self, cache: str, namespace: str, name: str) -> None:
        self.caches[cache]._tell((namespace, name))

    def drive(self, scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with asyncio.timeout(5), core.running(self.core):
                await core.settled(self.core, quiet=0.03)
                self.namespaces.seen.clear()
                self.cluster.seen.clear()
                await scenario()

        asyncio.run(main())

    async def settle(self) -> list[Any]:
        """What was reconciled since the last time, sorted, CLUSTER for the cluster."""
        await core.settled(self.core, quiet=0.03)
        seen = sorted(self.namespaces.seen) + [CLUSTER] * len(self.cluster.seen)
        self.namespaces.seen.clear()
        self.cluster.seen.clear()
        return seen


@pytest.fixture
def rig() -> Rig:
    made = Rig()

    async def keep(self: watch.Reflector) -> None:
        self._synced.set()
        self._open = True
        await asyncio.sleep(3600)

    for each in made.caches:
        each.run = keep.__get__(each)  # type: ignore[method-assign]
    made.have("namespaces", "shop", labels={LABEL_ENROLL: "enforce"})
    made.have("namespaces", "plain")
    return made


def test_at_the_start_everything_is_looked_at(rig: Rig) -> None:
    async def main() -> None:
        async with asyncio.timeout(5), core.running(rig.core):
            assert rig.core.why_not_ready()
            await core.settled(rig.core, quiet=0.03)
            assert rig.core.ready

    asyncio.run(main())
    assert sorted(rig.namespaces.seen) == ["plain", "shop"]
    assert len(rig.cluster.seen) == 1


@pytest.mark.parametrize("cache", ["policies", "pods", "network_policies"])
def test_what_is_in_a_namespace_concerns_it_alone(rig: Rig, cache: str) -> None:
    async def scenario() -> None:
        rig.tell(cache, "shop", "x")
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_pods_of_namespaces_without_ringfence_wake_nobody(rig: Rig) -> None:
    async def scenario() -> None:
        rig.tell("pods", "plain", "x")
        assert await rig.settle() == []
        rig.have("policies", "p", "plain")
        rig.tell("pods", "plain", "x")
        assert await rig.settle() == ["plain"]

    rig.drive(scenario)


def test_floors_and_api_servers_concern_every_enrolled_namespace(rig: Rig) -> None:
    async def scenario() -> None:
        rig.tell("cluster_policies", "", "floor")
        assert await rig.settle() == ["shop", CLUSTER]
        rig.tell("endpoint_slices", "default", "kubernetes")
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


@pytest.mark.parametrize("cache", ["mutating_webhooks", "admission_policies"])
def test_guards_concern_the_cluster(rig: Rig, cache: str) -> None:
    async def scenario() -> None:
        rig.tell(cache, "", "ringfence")
        assert await rig.settle() == [CLUSTER]

    rig.drive(scenario)


@pytest.mark.parametrize("cache", ["serving", "serving_ca"])
def test_serving_certificates_concern_whoever_has_proxies_too(rig: Rig, cache: str) -> None:
    async def scenario() -> None:
        rig.tell(cache, "ringfence-system", "ringfence")
        assert await rig.settle() == ["shop", CLUSTER]

    rig.drive(scenario)


def test_serving_certificates_that_this_process_has_written_concern_them_too(rig: Rig) -> None:
    async def scenario() -> None:
        rig.cluster.serving.changed()
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_who_is_named_elsewhere_wakes_them(rig: Rig) -> None:
    async def scenario() -> None:
        rig.namespaces.impact._named_by["bank"].add("shop")
        rig.tell("identities", "bank", "teller")
        assert await rig.settle() == ["bank", "shop"]
        rig.tell("namespaces", "", "bank")
        assert await rig.settle() == ["bank", "shop"]

    rig.drive(scenario)


def test_failures_and_defects_come_again(rig: Rig) -> None:
    async def scenario() -> None:
        rig.namespaces.failures = [RingfenceError("etcd is away"), ZeroDivisionError("a defect")]
        rig.tell("policies", "shop", "x")
        assert await rig.settle() == ["shop", "shop", "shop"]
        assert rig.core.ready

    rig.drive(scenario)


def test_the_cluster_is_looked_at_again_when_it_asks_for_it(rig: Rig) -> None:
    async def scenario() -> None:
        rig.cluster.again_in = 0.05
        rig.tell("serving", "", "x")
        while len(rig.cluster.seen) < 3:  # noqa: ASYNC110 (plain state)
            await asyncio.sleep(0.01)
        rig.cluster.again_in = 0.0

    rig.drive(scenario)


def test_a_changed_share_is_told_to_the_cluster(rig: Rig) -> None:
    async def scenario() -> None:
        rig.namespaces.shares["shop"] = {"floor": 1}
        original = rig.namespaces.reconcile

        async def reconcile(key: str) -> float:
            rig.namespaces.shares["shop"] = {"floor": 2}
            return await original(key)

        rig.namespaces.reconcile = reconcile  # type: ignore[method-assign]
        rig.tell("policies", "shop", "x")
        assert await rig.settle() == ["shop", CLUSTER]

    rig.drive(scenario)


def test_what_is_asked_of_pods_in_a_namespace_concerns_the_cluster_when_it_changes(rig: Rig) -> None:
    async def scenario() -> None:
        rig.cluster.changed.add("shop")
        rig.tell("policies", "shop", "x")
        assert await rig.settle() == ["shop", CLUSTER]
        rig.cluster.changed.clear()
        rig.tell("policies", "shop", "x")
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_a_stale_cache_makes_it_not_ready(rig: Rig) -> None:
    async def scenario() -> None:
        reflector = rig.caches["policies"]
        reflector._open = False
        reflector._heard -= core.STALE_SECONDS + 1
        reflector.trouble = "no route"
        assert "no route" in rig.core.why_not_ready()
        reflector._open = True
        reflector._heard += core.STALE_SECONDS + 1
        assert rig.core.ready

    rig.drive(scenario)


@pytest.mark.parametrize(
    ("sighting", "missed"),
    [
        (Sighting("policies", "shop", "known", "u", "5", deleted=False), False),
        (Sighting("policies", "shop", "known", "u", "4", deleted=False), False),
        (Sighting("policies", "shop", "known", "u", "6", deleted=False), True),
        (Sighting("policies", "shop", "unknown", "u", "6", deleted=False), True),
        (Sighting("policies", "shop", "known", "u", "6", deleted=True), True),
        (Sighting("policies", "shop", "known", "before", "6", deleted=True), False),
        (Sighting("policies", "shop", "unknown", "u", "6", deleted=True), False),
    ],
)
def test_a_cache_that_missed_what_kopf_saw_is_read_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, sighting: Sighting, missed: bool
) -> None:
    monkeypatch.setattr(core, "WITNESS_SECONDS", 0.0)
    rig.have("policies", "known", "shop", uid="u")
    refreshed: list[bool] = []
    monkeypatch.setattr(rig.caches["policies"], "refresh", lambda: refreshed.append(True))

    async def scenario() -> None:
        rig.core.witness(sighting)
        await asyncio.sleep(0.02)
        assert refreshed == ([True] if missed else [])

    rig.drive(scenario)


def test_the_ca_is_looked_at_when_its_objects_change_and_tells_whoever_depends_on_it(rig: Rig) -> None:
    async def scenario() -> None:
        before = rig.ca.looked
        rig.tell("ca", "ringfence-system", "ringfence-ca")
        await rig.settle()
        rig.tell("bundles", "elsewhere", "ringfence-trust-bundle")
        await rig.settle()
        assert rig.ca.looked == before + 1
        rig.parts.trust.callback("", "ringfence.dev:identity:root")
        await rig.settle()
        assert rig.ca.looked == before + 2
        rig.have("namespaces", "shop", labels={LABEL_ENROLL: "enforce"})
        rig.ca.changed()
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_a_renewal_that_is_due_wakes_its_namespace(rig: Rig) -> None:
    async def scenario() -> None:
        rig.parts.certificates.due("shop", time.time() - 1)
        rig.parts.certificates.due("later", time.time() + 3600)
        await asyncio.sleep(0.5)
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_what_was_reconciled_is_scanned_whatever_came_of_it(rig: Rig) -> None:
    scanner = rig.parts.scanner
    rig.have("namespaces", "shop", labels={LABEL_ENROLL: "enforce"})

    async def scenario() -> None:
        assert scanner.running
        scanner.marked.clear()
        rig.namespaces.failures = [RingfenceError("no")]
        rig.tell("pods", "shop", "checkout")
        await rig.settle()
        assert scanner.marked[:1] == ["shop"]

    rig.drive(scenario)
    assert not scanner.running


def test_without_reports_nothing_is_scanned(rig: Rig) -> None:
    rig.parts.scanner = None
    rig.have("namespaces", "shop", labels={LABEL_ENROLL: "enforce"})

    async def scenario() -> None:
        rig.tell("pods", "shop", "checkout")
        assert await rig.settle() == ["shop"]

    rig.drive(scenario)


def test_policies_in_networks_own_kinds_are_followed_while_it_leads(rig: Rig) -> None:
    followed = rig.parts.foreign
    rig.have("namespaces", "shop", labels={LABEL_ENROLL: "enforce"})

    async def scenario() -> None:
        assert followed.running
        followed.callback("shop", "allow-all")
        assert await rig.settle() == ["shop"]
        followed.callback("elsewhere", "allow-all")
        assert await rig.settle() == []

    rig.drive(scenario)
    assert not followed.running
