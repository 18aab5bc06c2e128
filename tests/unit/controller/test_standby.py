"""A core that stands by knows everything and touches nothing until it is elected, each time that it is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ringfence.controller import core
from ringfence.controller.core import Core

from tests.unit.controller.test_core import Rig
from tests.unit.controller.test_core import rig as rig  # noqa: PLC0414 (a fixture)


class Election:
    """Starts and ends terms as the test says."""

    def __init__(self) -> None:
        self.fit: Callable[[], bool] | None = None
        self._terms: asyncio.Queue[bool] = asyncio.Queue()

    def elect(self) -> None:
        self._terms.put_nowait(True)

    def depose(self) -> None:
        self._terms.put_nowait(False)

    async def run(self, work: Callable[[], Awaitable[None]], fit: Callable[[], bool]) -> None:
        self.fit = fit
        while True:
            assert await self._terms.get()
            task = asyncio.ensure_future(work())
            try:
                assert not await self._terms.get()
            finally:
                task.cancel()
                await asyncio.wait({task})


def _standing(rig: Rig) -> tuple[Core, Election]:
    election = Election()
    rig.core = Core(rig.core.operator, election)
    return rig.core, election


async def _until(check: Callable[[], bool]) -> None:
    while not check():  # noqa: ASYNC110 (what is waited for tells nobody)
        await asyncio.sleep(0.005)


def test_a_standby_is_ready_and_reconciles_nothing(rig: Rig) -> None:
    heart, election = _standing(rig)

    async def main() -> None:
        async with asyncio.timeout(5), core.running(heart):
            await _until(lambda: heart.ready)
            rig.tell("policies", "shop", "x")
            await asyncio.sleep(0.05)
            assert not rig.namespaces.seen
            assert not rig.cluster.seen
            assert election.fit is not None
            assert election.fit()

    asyncio.run(main())


def test_each_term_begins_with_everything_and_ends_with_figures_that_say_nothing(rig: Rig) -> None:
    heart, election = _standing(rig)
    cleared: list[int] = []
    rig.parts.meter.clear = lambda: cleared.append(1)

    async def main() -> None:
        async with asyncio.timeout(5), core.running(heart):
            for number in range(3):
                assert len(cleared) == number
                election.elect()
                await _until(lambda: sorted(rig.namespaces.seen) == ["plain", "shop"] and len(rig.cluster.seen) == 1)
                election.depose()
                await _until(lambda number=number: len(cleared) > number)
                rig.namespaces.seen.clear()
                rig.cluster.seen.clear()

    asyncio.run(main())


def test_what_was_cut_off_in_the_middle_is_worked_on_in_the_next_term(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart, election = _standing(rig)
    begun: list[str] = []
    stuck = True

    async def reconcile(name: str) -> None:
        begun.append(name)
        if stuck:
            await asyncio.sleep(3600)

    monkeypatch.setattr(rig.namespaces, "reconcile", reconcile)

    async def main() -> None:
        nonlocal stuck
        async with asyncio.timeout(5), core.running(heart):
            election.elect()
            await _until(lambda: len(begun) == 2)
            election.depose()
            await asyncio.sleep(0.02)
            stuck = False
            begun.clear()
            election.elect()
            await core.settled(heart, quiet=0.03)
            assert sorted(begun) == ["plain", "shop"]

    asyncio.run(main())
