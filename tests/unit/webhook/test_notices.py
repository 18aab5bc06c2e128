"""Events of the webhook: once for equal pods, never for dry runs, dropped rather than piled up."""

import asyncio
import time
from typing import Any

import pytest
from prometheus_client import generate_latest
from ringfence.controls.pod import Owner
from ringfence.model.ports import Object
from ringfence.webhook import notices, telling
from ringfence.webhook.answering import Answering
from ringfence.webhook.live import Learner
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.notices import Notices
from ringfence.webhook.review import Purpose
from ringfence.webhook.view import Rules
from ringfence.webhook.wire import Notice

from tests.unit.webhook.fakes import CONTROLLER, EXEMPT, NOW, FakeCluster, floor, identity, namespace, shop
from tests.unit.webhook.reviews import encoded, pod

OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": True}
AUDITED = floor("floor", "baseline", mode="Audit")
EXCEPTION = {
    "name": "agent",
    "namespace": "shop",
    "identities": ["default"],
    "controls": ["host-namespaces"],
    "reason": "reads the clock",
    "until": "2099-01-01T00:00:00Z",
}


class Sink:
    """Fulfils ports.EventSink."""

    def __init__(self, fails: int = 0) -> None:
        self.events: list[tuple[str, str, str, str]] = []
        self.fails = fails

    async def emit(self, regarding: Object, *, type_: str, reason: str, action: str, note: str) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no")
        assert action == "Admission"
        metadata = regarding["metadata"]
        self.events.append((f"{regarding['kind']} {metadata['namespace']}/{metadata['name']}", type_, reason, note))


def told(cluster: FakeCluster, *bodies: bytes) -> list[Notice]:
    """What is to be told after these reviews."""
    found: list[Notice] = []
    rules = Rules(CONTROLLER, EXEMPT)
    answering = Answering(
        cluster.view, rules, Learner(cluster.read, EXEMPT), cluster.metrics, lambda: NOW, tell=found.extend
    )

    async def ask() -> None:
        for body in bodies:
            await answering.answer(Purpose.VALIDATE, body, time.monotonic() + 3)

    asyncio.run(ask())
    return found


def owned(name: str, *owners: dict[str, Any], **spec: Any) -> dict[str, Any]:
    made = pod(name, **spec)
    made["metadata"]["ownerReferences"] = list(owners)
    return made


SYSCTL: dict[str, Any] = {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}


def test_what_is_only_reported_is_told_on_the_owner_and_alike_for_all_its_pods() -> None:
    cluster = FakeCluster(shop(AUDITED))
    one, other = told(cluster, *(encoded(owned(name, OWNER, **SYSCTL)) for name in ("web-1-a", "web-1-b")))
    assert one == other
    assert one.about == Owner("apps/v1", "ReplicaSet", "web-1", "u", True)
    assert (one.namespace, one.reason, one.warning) == ("shop", "PolicyViolated", True)
    assert one.note.startswith("its pods break policies that only report: spec.securityContext.sysctls")


def test_a_pod_of_nobody_is_told_of_itself() -> None:
    other = {**OWNER, "controller": False}
    (notice,) = told(FakeCluster(shop(AUDITED)), encoded(owned("alone", other, **SYSCTL)))
    assert (notice.about.kind, notice.about.name) == ("Pod", "alone")
    assert notice.note.startswith("it breaks policies that only report: ")


def test_the_use_of_an_exception_is_told_and_counted() -> None:
    cluster = FakeCluster(shop(floor("floor", "baseline", exceptions=[EXCEPTION])))
    (notice,) = told(cluster, encoded(owned("web-1-a", OWNER, hostPID=True)))
    assert (notice.reason, notice.warning) == ("ExceptionUsed", False)
    assert notice.note == (
        "let in by exception floor/agent until 2099-01-01T00:00:00Z (host-namespaces): reads the clock"
    )
    text = generate_latest(cluster.metrics.registry).decode()
    assert 'ringfence_admission_exceptions_used_total{exception="agent",policy="floor"} 1.0' in text


def test_a_dry_run_tells_and_counts_nothing() -> None:
    cluster = FakeCluster(shop(AUDITED, floor("other", "baseline", exceptions=[EXCEPTION])))
    assert told(cluster, encoded(owned("a", OWNER, hostPID=True), dryRun=True)) == []
    assert "exceptions_used_total{" not in generate_latest(cluster.metrics.registry).decode()


def test_refusals_and_good_pods_are_not_told() -> None:
    cluster = FakeCluster(shop(floor("floor", "baseline")))
    assert told(cluster, encoded(owned("a", OWNER, hostPID=True)), encoded(owned("b", OWNER))) == []


def written(offered: list[list[Notice]], sink: Sink, metrics: Metrics, clock: list[float]) -> None:
    async def run() -> None:
        teller = Notices(sink, metrics, monotonic=lambda: clock[0], pace=0)
        for batch in offered:
            teller.offer(batch)
        task = asyncio.create_task(teller.write())
        for _ in range(3 * notices.QUEUE):
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(run())


def notice(number: int = 0, namespace: str = "shop") -> Notice:
    return Notice(Owner("apps/v1", "ReplicaSet", f"web-{number}", "u", True), namespace, "PolicyViolated", "n")


def test_ten_thousand_equal_pods_are_one_event() -> None:
    sink, metrics = Sink(), Metrics()
    written([[notice()]] * 10_000, sink, metrics, [0.0])
    assert sink.events == [("ReplicaSet shop/web-0", "Warning", "PolicyViolated", "n")]
    assert metrics.events_dropped._value.get() == 0


def test_ten_thousand_different_ones_fill_the_queue_and_no_more() -> None:
    sink, metrics = Sink(), Metrics()
    written([[notice(number, f"n{number}")] for number in range(10_000)], sink, metrics, [0.0])
    assert len(sink.events) == notices.QUEUE
    assert metrics.events_dropped._value.get() == 10_000 - notices.QUEUE


def test_the_storm_of_one_namespace_leaves_room_for_others() -> None:
    sink, metrics = Sink(), Metrics()
    storm = [notice(number) for number in range(10_000)]
    written([storm, [notice(0, "other")]], sink, metrics, [0.0])
    assert len(sink.events) == notices.SHARE + 1
    assert sink.events[-1][0] == "ReplicaSet other/web-0"


def test_what_is_kept_of_a_pod_is_short() -> None:
    long = "x" * 1_000_000
    probe = {"httpGet": {"host": long, "port": 80}}
    containers = [{"name": "main", "image": "x", "livenessProbe": probe}]
    for owner in ({**OWNER, "name": long}, {**OWNER, "uid": long}, {**OWNER, "kind": long}):
        (found,) = told(FakeCluster(shop(AUDITED)), encoded(owned("alone", owner, **SYSCTL)))
        assert found.about.kind == "Pod"
    audited = [namespace("shop", "audit"), identity("shop", "default")]
    (found,) = told(FakeCluster(audited), encoded(owned("alone", containers=containers)))
    assert len(found.note) == telling.MAX_NOTE


def test_one_that_cannot_be_written_does_not_keep_the_others() -> None:
    sink = Sink(fails=1)
    written([[notice(0), notice(1)]], sink, Metrics(), [0.0])
    assert [about for about, *_ in sink.events] == ["ReplicaSet shop/web-1"]


def test_after_a_while_it_is_told_again() -> None:
    sink, clock = Sink(), [0.0]

    async def run() -> None:
        teller = Notices(sink, Metrics(), monotonic=lambda: clock[0], pace=0)
        task = asyncio.create_task(teller.write())
        for now in (0.0, notices.REPEAT - 1, notices.REPEAT + 1):
            clock[0] = now
            teller.offer([notice()])
            for _ in range(5):
                await asyncio.sleep(0)
        task.cancel()

    asyncio.run(run())
    assert len(sink.events) == 2


@pytest.mark.parametrize("missing", ["name", "kind", "apiVersion"])
def test_an_owner_that_is_half_named_is_none(missing: str) -> None:
    owner = {key: value for key, value in OWNER.items() if key != missing}
    (found,) = told(FakeCluster(shop(AUDITED)), encoded(owned("alone", owner, **SYSCTL)))
    assert found.about.kind == "Pod"
