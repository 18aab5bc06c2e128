"""When namespaces are scanned and reports written: soon, seldom, and never for ever."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from ringfence.controls.evaluate import Context
from ringfence.model.effective import EffectivePolicy
from ringfence.model.errors import RingfenceError
from ringfence.model.world import Enrolment, Namespace
from ringfence.reconcile import scan, scanner
from ringfence.reconcile.scanner import Scanner

from tests.unit.reconcile import fakes

API_VERSION, KIND = scan.KINDS[0]


class Rig:
    """A scanner of a cluster in memory; fulfils scanner.Pods and scanner.Reports."""

    def __init__(self) -> None:
        self.cluster, self.clock = fakes.FakeCluster(), fakes.FakeClock()
        self.enrolled = {"shop"}
        self.kind: tuple[str, str] | None = scan.KINDS[0]
        self.broken: RingfenceError | Exception | None = None
        self.counted: tuple[int, ...] = ()
        self.slept: list[float] = []
        self.scans: list[str] = []
        self.made = Scanner(
            self,
            self,
            fakes.means(self.cluster, clock=self.clock),
            self._context,
            counted=lambda *figures: setattr(self, "counted", figures),
            sleep=self._sleep,
        )

    def _context(self, name: str) -> Context | None:
        if name not in self.enrolled:
            return None
        policy = EffectivePolicy(name, Enrolment.ENFORCE, True, service_accounts=(("web", "web"),))
        return Context(Namespace.of(name, {"ringfence.dev/enroll": "enforce"}), policy, 0.0)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.seconds += seconds
        await asyncio.sleep(0)

    async def pages(self, namespace: str) -> AsyncIterator[Sequence[msgspec.Raw]]:
        self.scans.append(namespace)
        if self.broken is not None:
            raise self.broken
        pods = self.cluster.lister("Pod").list(namespace)
        for start in range(0, len(pods), 2):
            yield [msgspec.Raw(json.dumps(each).encode()) for each in pods[start : start + 2]]

    async def served(self) -> tuple[str, str] | None:
        return self.kind

    async def held(self, kind: tuple[str, str]) -> Sequence[str]:
        return [obj["metadata"]["namespace"] for obj in self.cluster.lister(kind[1]).list()]

    def report(self, namespace: str = "shop") -> dict[str, Any] | None:
        return self.cluster.find(KIND, namespace, scan.NAME)

    def reports_written(self) -> int:
        return self.cluster.writes.count(("apply", KIND, scan.NAME))

    async def turns(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


def _drive(scenario: Any) -> None:
    async def main() -> None:
        rig = Rig()
        task = asyncio.create_task(rig.made.run())
        try:
            await asyncio.wait_for(scenario(rig), 20)
        finally:
            task.cancel()

    asyncio.run(main())


def _bad(name: str) -> dict[str, Any]:
    return fakes.pod("shop", name, "web", hostPID=True, containers=[{"name": "main"}])


def test_a_marked_namespace_is_scanned_and_reported() -> None:
    async def scenario(rig: Rig) -> None:
        rig.cluster.put(_bad("a"), _bad("b"), _bad("c"), fakes.pod("shop", "good", "web"))
        rig.made.mark("shop")
        await rig.turns()
        report = rig.report()
        assert report is not None
        assert report["summary"] == {"pass": 1, "fail": 3, "warn": 0, "error": 0, "skip": 0}
        assert rig.counted == (1, 3, 0)
        assert rig.made.idle

    _drive(scenario)


def test_marks_within_ten_seconds_are_one_scan_and_nothing_new_is_no_write() -> None:
    async def scenario(rig: Rig) -> None:
        rig.cluster.put(_bad("a"))
        for _ in range(5):
            rig.made.mark("shop")
            await rig.turns()
        assert rig.scans == ["shop"]
        rig.clock.seconds += scanner.LEAST_SECONDS
        rig.made.mark("shop")
        await rig.turns()
        assert rig.scans == ["shop", "shop"]
        assert rig.reports_written() == 1
        rig.cluster.put(_bad("b"))
        rig.clock.seconds += scanner.LEAST_SECONDS
        rig.made.mark("shop")
        await rig.turns()
        assert rig.reports_written() == 2

    _drive(scenario)


def test_what_somebody_has_edited_is_repaired_in_time() -> None:
    async def scenario(rig: Rig) -> None:
        rig.made.mark("shop")
        await rig.turns()
        rig.clock.seconds += scanner.REPAIR_SECONDS + 1
        rig.made.mark("shop")
        await rig.turns()
        assert rig.reports_written() == 2

    _drive(scenario)


def test_a_namespace_that_is_taken_out_loses_its_report_also_one_of_a_former_process() -> None:
    async def scenario(rig: Rig) -> None:
        labels = {"app.kubernetes.io/managed-by": "ringfence"}
        metadata = {"name": scan.NAME, "namespace": "left", "labels": labels}
        rig.cluster.put({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata})
        rig.made.mark("shop")
        await rig.turns()
        # The run began before the report of the former process was there: a new one finds it.
        rig.made._held.add("left")
        rig.enrolled.clear()
        rig.clock.seconds += scanner.LEAST_SECONDS
        rig.made.mark("shop")
        rig.made.mark("left")
        rig.made.mark("never-had-one")
        await rig.turns()
        assert rig.report() is None
        assert rig.report("left") is None
        assert ("delete", KIND, scan.NAME) in rig.cluster.writes
        assert rig.cluster.writes.count(("delete", KIND, scan.NAME)) == 2
        assert rig.counted == (0, 0, 0)

    _drive(scenario)


def test_one_namespace_that_cannot_be_scanned_does_not_stop_the_others() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrolled.add("other")
        for failure in (RingfenceError("no"), ValueError("a defect")):
            rig.broken = failure
            rig.made.mark("shop")
            await rig.turns()
            rig.broken = None
            rig.made.mark("other")
            await rig.turns()
            assert rig.report("other") is not None
            assert rig.report() is None
            rig.clock.seconds += scanner.LEAST_SECONDS
        rig.clock.seconds += scanner.RETRY_SECONDS
        rig.made.mark("other")
        await rig.turns()
        assert rig.report() is not None

    _drive(scenario)


def test_without_a_kind_of_report_nothing_is_read_until_there_is_one() -> None:
    async def main() -> None:
        rig = Rig()
        rig.kind = None
        task = asyncio.create_task(rig.made.run())
        rig.made.mark("shop")
        await rig.turns()
        assert rig.scans == []
        assert rig.slept
        rig.kind = scan.KINDS[1]
        await rig.turns()
        assert rig.cluster.find(scan.KINDS[1][1], "shop", scan.NAME) is not None
        task.cancel()

    asyncio.run(main())
