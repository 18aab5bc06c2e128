"""Two controllers as processes on a real API server: killed, paused and revived, told to stop, cut off.

Who wrote what is read from the API server's audit log, where each process has its pod's name in its user agent.
"""

import asyncio
import contextlib
import datetime
import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from ringfence.kube import client, errors, lease, resources
from ringfence.translate.network_policy import DEFAULT_DENY

from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane
from tests.component import cluster
from tests.component.controller_rig import OWN, Plane

pytestmark = [pytest.mark.component, pytest.mark.timeout(300)]

#: With what a busy machine needs on top: by a clock that nothing holds up (tests/unit/kube/test_lease.py) it takes 15 s
#: to replace a leader that was killed, and about one where it hands over, instead of the 13 s of its Lease.
TAKEOVER_SECONDS = 20.0
HANDOVER_SECONDS = 6.0
READS = {"get", "list", "watch"}
SHOP = "shop"


class Controller:
    """One process and what it says of itself."""

    def __init__(self, name: str, process: subprocess.Popen[str], port: int) -> None:
        self.name = name
        self.process = process
        self._port = port

    def leads(self) -> bool:
        """What its metric says; False when it says nothing (it is stopped, or gone)."""
        return bool(re.search(r"^ringfence_leader 1\.0$", self._get("/metrics"), re.MULTILINE))

    def ready(self) -> bool:
        return self._get("/readyz") == "ok\n"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def _get(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=3) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""


class Stage:
    """The API server, its audit log, and two controllers of which the first leads."""

    def __init__(self, plane: Plane, audit: Path) -> None:
        self.plane = plane
        self._audit = audit
        self.number = 0

    @contextlib.contextmanager
    def controller(self) -> Iterator[Controller]:
        """One more process, with a name that nobody had before."""
        self.number += 1
        name = f"controller-{self.number}"
        (port,) = ports.free()
        with self.plane.process(name, port=port) as process:
            controller = Controller(name, process, port)
            try:
                yield controller
            finally:
                # A process that is stopped would not be killed while it is.
                if process.poll() is None:
                    controller.signal(signal.SIGCONT)

    def writes(self, controller: Controller, since: str) -> list[str]:
        """What a controller has asked to change since a time of the audit log, the Lease included."""
        found = []
        *lines, _ = self._audit.read_text().split("\n")
        for line in lines:
            entry = json.loads(line)
            agent = entry.get("userAgent", "")
            if not agent.startswith("ringfence-controller") or not agent.endswith(f" ({controller.name})"):
                continue
            if entry["verb"] not in READS and entry["requestReceivedTimestamp"] >= since:
                found.append(f"{entry['requestReceivedTimestamp']} {entry['verb']} {entry['requestURI']}")
        return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    audit = tmp_path_factory.mktemp("leader") / "audit.log"
    wanted = ["namespace-controller", "serviceaccount-controller"]
    with ControlPlane("leader", controllers=wanted, audit_log=audit) as running:
        plane = Plane(running)
        plane.prepare()
        yield Stage(plane, audit)


Scenario = Callable[[client.Client, Controller, Controller], Coroutine[Any, Any, None]]


def drive(stage: Stage, scenario: Scenario) -> None:
    """Run a scenario with the leader and the standby, both ready and with nothing left to do."""

    async def main() -> None:
        async with stage.plane.writer() as api, asyncio.timeout(200):
            await cluster.apply(api, cluster.namespace(SHOP, "enforce"))
            for name in ("payments", "checkout"):
                await cluster.apply(api, cluster.identity(SHOP, name))
            await cluster.apply(api, cluster.policy(SHOP, "payments", "checkout"))
            with stage.controller() as first:
                # The one of the test before may have been killed with the Lease in its hands.
                await cluster.eventually(_said(first.leads), "the first leads", 60)
                with stage.controller() as second:
                    await cluster.eventually(_said(second.ready), "the standby is ready", 60)
                    assert first.leads()
                    assert not second.leads()
                    await cluster.eventually(lambda: closed(api), "the namespace is closed")
                    await scenario(api, first, second)

    asyncio.run(main())


def _said(ask: Callable[[], bool]) -> Callable[[], Coroutine[Any, Any, bool]]:
    async def check() -> bool:
        return await asyncio.to_thread(ask)

    return check


async def closed(api: client.Client) -> bool:
    return await cluster.get(api, resources.NETWORK_POLICIES, SHOP, DEFAULT_DENY) is not None


async def opened_by_hand(api: client.Client) -> float:
    """Take the default deny away, and wait until somebody has put it back: the seconds that took."""
    await cluster.delete(api, resources.NETWORK_POLICIES, SHOP, DEFAULT_DENY)
    began = time.monotonic()
    await cluster.eventually(lambda: closed(api), "the default deny is back", 40)
    return time.monotonic() - began


async def holder(api: client.Client) -> str:
    """The pod that holds the Lease."""
    found = await cluster.get(api, resources.LEASES, OWN, lease.NAME)
    return str((found or {})["spec"].get("holderIdentity", "")).partition("_")[0]


@contextlib.asynccontextmanager
async def busy(api: client.Client) -> Any:
    """Somebody who changes policies all the time, so that a leader always has something to write."""

    async def change() -> None:
        port = 1000
        while True:
            port += 1
            with contextlib.suppress(errors.KubeError):
                await cluster.apply(api, cluster.policy(SHOP, "payments", "checkout", port=port))
            await asyncio.sleep(0.05)

    task = asyncio.create_task(change())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _now() -> str:
    """This moment as the audit log writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_killed_leader_is_replaced_in_time(stage: Stage) -> None:
    async def scenario(api: client.Client, first: Controller, second: Controller) -> None:
        assert not stage.writes(second, "")
        first.signal(signal.SIGKILL)
        assert await opened_by_hand(api) < TAKEOVER_SECONDS
        assert await holder(api) == second.name
        assert await asyncio.to_thread(second.leads)

    drive(stage, scenario)


def test_a_leader_that_is_told_to_stop_hands_over_at_once(stage: Stage) -> None:
    async def scenario(api: client.Client, first: Controller, second: Controller) -> None:
        first.signal(signal.SIGTERM)
        began = time.monotonic()
        await cluster.eventually(_said(second.leads), "the standby leads", HANDOVER_SECONDS)
        await opened_by_hand(api)
        assert time.monotonic() - began < HANDOVER_SECONDS
        assert await asyncio.to_thread(first.process.wait, 20) == 0

    drive(stage, scenario)


def test_a_leader_that_was_paused_writes_nothing_when_it_is_back(stage: Stage) -> None:
    async def scenario(api: client.Client, first: Controller, second: Controller) -> None:
        async with busy(api):
            await asyncio.sleep(2)
            assert stage.writes(first, "")
            first.signal(signal.SIGSTOP)
            await cluster.eventually(_said(second.leads), "the standby leads", TAKEOVER_SECONDS)
            await asyncio.sleep(10)
            revived = _now()
            first.signal(signal.SIGCONT)
            await cluster.eventually(_said(first.ready), "the old leader is back", 10)
            await asyncio.sleep(5)
        assert not await asyncio.to_thread(first.leads)
        assert first.process.poll() is None
        assert stage.writes(first, revived) == []
        assert len(stage.writes(second, revived)) > 10
        # It is a standby like any other now.
        second.signal(signal.SIGKILL)
        assert await opened_by_hand(api) < TAKEOVER_SECONDS
        assert await asyncio.to_thread(first.leads)

    drive(stage, scenario)


def test_an_api_server_that_is_away_never_makes_two_leaders(stage: Stage) -> None:
    async def scenario(api: client.Client, first: Controller, second: Controller) -> None:
        both: list[tuple[bool, bool]] = []

        async def look() -> None:
            while True:
                both.append((await asyncio.to_thread(first.leads), await asyncio.to_thread(second.leads)))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(look())
        await asyncio.to_thread(stage.plane.control_plane.stop_apiserver)
        await asyncio.sleep(12)
        assert both[-1] == (False, False)
        await asyncio.to_thread(stage.plane.control_plane.start_apiserver)

        async def one() -> bool:
            return both[-1] in {(True, False), (False, True)}

        await cluster.eventually(one, "one of them leads", 60)
        await opened_by_hand(api)
        watching.cancel()
        assert (True, True) not in both
        assert (True, False) in both[: len(both) // 2]

    drive(stage, scenario)
