"""Election over an API server that takes conditional writes, in a loop whose time is turned by the test."""

import asyncio
import copy
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ringfence.kube import client, errors, lease
from ringfence.model.leadership import Timing

TIMING = Timing()


class _Turned(selectors.DefaultSelector):
    """Nothing is waited for: where a loop would sleep, time jumps."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.seconds += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own."""

    def __init__(self) -> None:
        selector = _Turned()
        super().__init__(selector)
        selector.loop = self
        self.seconds = 1000.0

    def time(self) -> float:
        return self.seconds


def play(scenario: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario)


class Clock:
    """The loop's time, seen by a process that may have been away."""

    def __init__(self) -> None:
        self.skipped = 0.0
        self.wall = 1_700_000_000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped


class Server(client.Client):
    """Holds one Lease; ``away`` makes it unreachable, ``silent`` slow beyond any patience."""

    def __init__(self, spec: dict[str, Any] | None = None, *, there: bool = True) -> None:
        self.lease: dict[str, Any] | None = None
        self.versions = 0
        self.away = self.silent = self.forgets = False
        self.log: list[tuple[str, str]] = []
        if there:
            self._store({"metadata": {"name": lease.NAME, "labels": {"a": "b"}}, "spec": spec or {}}, "uid-chart")

    def _store(self, body: Any, uid: str) -> dict[str, Any]:
        self.versions += 1
        stored = copy.deepcopy(dict(body))
        stored["metadata"] = {**stored["metadata"], "uid": uid, "resourceVersion": str(self.versions)}
        self.lease = stored
        return copy.deepcopy(stored)

    @property
    def holder(self) -> str:
        return str((self.lease or {}).get("spec", {}).get("holderIdentity", ""))

    async def request(self, method: str, path: str, **rest: Any) -> Any:
        await asyncio.sleep(3600 if self.silent else 0.01)
        if self.away:
            raise errors.Unreachable("away")
        body = rest.get("body")
        self.log.append((method, (body or {}).get("spec", {}).get("holderIdentity", "")))
        answer = self._answer(method, body)
        if self.forgets and method == "PUT":
            self.forgets = False
            raise errors.Unreachable("the answer was lost")
        return answer

    def _answer(self, method: str, body: Any) -> dict[str, Any]:
        if method == "POST":
            if self.lease is not None:
                raise errors.AlreadyExists("there is one")
            return self._store(body, f"uid-{self.versions}")
        if self.lease is None:
            raise errors.NotFound("there is none")
        if method == "PUT":
            if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                raise errors.Conflict("another version")
            return self._store(body, self.lease["metadata"]["uid"])
        return copy.deepcopy(self.lease)


class Process:
    """An Elector, whose work counts how often it was begun and ended."""

    def __init__(self, server: Server, name: str) -> None:
        self.clock = Clock()
        self.told: list[bool] = []
        self.elector = lease.Elector(server, "own", name, clock=self.clock, told=self.told.append)
        self.begun = self.ended = 0
        self.fit = True
        self.task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        self.begun += 1
        try:
            await asyncio.sleep(1e6)
        finally:
            self.ended += 1

    def start(self, work: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        self.task = asyncio.create_task(self.elector.run(work or self.work, lambda: self.fit))

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def kill(self) -> None:
        """Nothing of it runs any more, its release included."""
        assert self.task is not None
        self.elector._release = _nothing  # type: ignore[method-assign]
        self.task.cancel()


async def _nothing() -> None:
    """In place of a release."""


async def elected(server: Server, *names: str) -> list[Process]:
    """Processes of these names; the first leads."""
    processes = []
    for name in names:
        process = Process(server, name)
        process.start()
        await asyncio.sleep(0.5)
        processes.append(process)
    assert processes[0].elector.leads
    return processes


async def until(check: Callable[[], bool], within: float) -> float:
    """Seconds until it is true."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not check():
        assert loop.time() - began < within, f"not within {within} s"
        await asyncio.sleep(0.01)
    return loop.time() - began


def test_the_first_leads_and_the_second_stands_by() -> None:
    async def scenario() -> None:
        server = Server()
        first, second = await elected(server, "a", "b")
        await asyncio.sleep(60)
        assert (first.begun, first.ended, second.begun) == (1, 0, 0)
        first.elector.guard()
        with pytest.raises(errors.LeadershipLost):
            second.elector.guard()
        assert first.told == [False, True]
        spec = (server.lease or {})["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 13, 1)
        assert (server.lease or {})["metadata"]["labels"] == {"a": "b"}
        puts = sum(method == "PUT" for method, _ in server.log)
        assert puts == pytest.approx(60 / TIMING.renew, abs=2)
        for each in (first, second):
            await each.stop()

    play(scenario())


def test_a_killed_leader_is_replaced_within_fifteen_seconds() -> None:
    async def scenario() -> None:
        first, second = await elected(server := Server(), "a", "b")
        await asyncio.sleep(2.0)
        first.kill()
        assert await until(lambda: second.begun == 1, 15) > 10
        assert server.holder == "b"
        assert (server.lease or {})["spec"]["leaseTransitions"] == 2
        await second.stop()

    play(scenario())


def test_a_leader_that_stops_hands_over_at_once_after_its_work_has_ended() -> None:
    async def scenario() -> None:
        first, second = await elected(server := Server(), "a", "b")
        await first.stop()
        assert (first.ended, server.holder) == (1, "")
        assert await until(lambda: second.begun == 1, 15) < 1.5
        await second.stop()

    play(scenario())


def test_a_renewal_cut_off_by_the_stop_does_not_keep_the_lease() -> None:
    async def scenario() -> None:
        [first] = await elected(server := Server(), "a")
        server._store({**(server.lease or {}), "metadata": {"name": lease.NAME}}, "uid-chart")
        await first.stop()
        assert server.holder == ""

    play(scenario())


def test_a_paused_leader_may_write_nothing_from_the_moment_it_is_back() -> None:
    async def scenario() -> None:
        first, second = await elected(server := Server(), "a", "b")
        first.clock.skipped += 20
        with pytest.raises(errors.LeadershipLost):
            first.elector.guard()
        del server.log[:]
        server.lease["spec"]["holderIdentity"] = "b"  # type: ignore[index] (taken over meanwhile)
        server.versions += 1
        server.lease["metadata"]["resourceVersion"] = str(server.versions)  # type: ignore[index]
        await until(lambda: first.ended == 1, 3)
        await asyncio.sleep(3)
        assert ("PUT", "a") not in server.log
        assert first.told == [False, True, False]
        second.kill()
        # It is a standby like any other now.
        await until(lambda: first.begun == 2, 30)
        await first.stop()

    play(scenario())


def test_an_api_server_that_is_away_ends_the_work_before_anybody_else_can_begin() -> None:
    async def scenario() -> None:
        for trouble in ("away", "silent"):
            first, second = await elected(server := Server(), "a", "b")
            setattr(server, trouble, True)
            assert await until(lambda first=first: first.ended == 1, 15) <= TIMING.deadline
            assert not second.begun
            setattr(server, trouble, False)
            # Nobody else has changed the Lease, so whoever looks first goes on.
            await until(lambda one=first, other=second: one.begun + other.begun == 2, 20)
            assert first.elector.leads != second.elector.leads
            for each in (first, second):
                await each.stop()

    play(scenario())


def test_a_lost_answer_costs_nothing() -> None:
    async def scenario() -> None:
        [first] = await elected(server := Server(), "a")
        server.forgets = True
        await asyncio.sleep(30)
        assert (first.begun, first.ended, server.forgets) == (1, 0, False)
        await first.stop()

    play(scenario())


def test_a_deleted_lease_comes_back_and_rights_come_later() -> None:
    async def scenario() -> None:
        first, second = await elected(server := Server(), "a", "b")
        server.lease = None
        await until(lambda: first.ended == 1, 3)
        assert server.holder
        waited = await until(lambda: first.begun + second.begun == 2, 20)
        assert waited > TIMING.deadline
        for each in (first, second):
            await each.stop()

    play(scenario())


def test_one_whose_caches_are_not_there_does_not_stand() -> None:
    async def scenario() -> None:
        server = Server()
        process = Process(server, "a")
        process.fit = False
        process.start()
        await asyncio.sleep(30)
        assert server.holder == ""
        process.fit = True
        await until(lambda: process.begun == 1, 3)
        await process.stop()

    play(scenario())


def test_a_wall_clock_that_stands_still_does_not_look_like_a_dead_holder() -> None:
    async def scenario() -> None:
        server = Server()
        process = Process(server, "a")
        process.start()
        stamps = []
        for _ in range(5):
            await asyncio.sleep(TIMING.renew)
            stamps.append((server.lease or {})["spec"]["renewTime"])
        assert all(one != other for one, other in itertools.pairwise(stamps))
        await process.stop()

    play(scenario())


def test_a_defect_in_the_work_ends_the_process_and_frees_the_lease() -> None:
    async def scenario() -> None:
        server = Server()
        process = Process(server, "a")

        async def broken() -> None:
            await asyncio.sleep(1)
            raise LookupError("defect")

        process.start(broken)
        assert process.task is not None
        with pytest.raises(LookupError, match="defect"):
            await process.task
        assert server.holder == ""

    play(scenario())


def test_the_clock_goes_on_while_the_machine_sleeps() -> None:
    clock = lease.LeadClock()
    assert 0 <= clock.monotonic() <= clock.monotonic()
    assert clock.now() > 1.6e9
