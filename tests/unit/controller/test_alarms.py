"""Keys ring when the wall clock says so, whatever is done to that clock."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from ringfence.controller import alarms


class FakeClock:
    def __init__(self) -> None:
        self.wall = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return 0.0


class Rig:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rung: list[str] = []
        self.alarms = alarms.Alarms(self.clock, self.rung.append)

    async def rings(self, *keys: str) -> None:
        """Return once these have rung."""
        async with asyncio.timeout(20):
            while self.rung != list(keys):  # noqa: ASYNC110 (what changes is plain state)
                await asyncio.sleep(0.005)

    def drive(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            task = asyncio.create_task(self.alarms.run())
            await scenario()
            task.cancel()

        asyncio.run(main())


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr(alarms, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(alarms, "LEAST_SECONDS", 0.005)
    return Rig()


def test_what_is_due_rings_once_and_what_is_not_waits(rig: Rig) -> None:
    async def scenario() -> None:
        rig.alarms.set("shop", 999.0)
        rig.alarms.set("later", 2000.0)
        await rig.rings("shop")
        await asyncio.sleep(0.1)
        assert rig.rung == ["shop"]
        assert rig.alarms.next() == 2000.0

    rig.drive(scenario)


def test_a_clock_that_is_set_forward_is_noticed(rig: Rig) -> None:
    async def scenario() -> None:
        rig.alarms.set("shop", 1000.0 + 86400)
        await asyncio.sleep(0.05)
        assert not rig.rung
        rig.clock.wall += 2 * 86400
        await rig.rings("shop")

    rig.drive(scenario)


def test_the_last_word_counts(rig: Rig) -> None:
    async def scenario() -> None:
        rig.alarms.set("shop", 1001.0)
        rig.alarms.set("shop", 5000.0)
        rig.alarms.set("gone", 1001.0)
        rig.alarms.set("gone", None)
        rig.clock.wall = 1002.0
        await asyncio.sleep(0.1)
        assert not rig.rung

    rig.drive(scenario)


@pytest.mark.parametrize(("step", "told"), [(3 * 86400.0, 1), (-3 * 86400.0, 1), (29.0, 0)])
def test_a_clock_that_was_set_is_told_of_once(rig: Rig, step: float, told: int) -> None:
    """Set back, nothing would ring for days: certificates from the future would stay."""
    steps: list[int] = []
    rig.alarms.stepped = lambda: steps.append(1)

    async def scenario() -> None:
        await asyncio.sleep(0.05)
        rig.clock.wall += step
        async with asyncio.timeout(20):
            while len(steps) < told:  # noqa: ASYNC110 (what changes is plain state)
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)

    rig.drive(scenario)
    assert len(steps) == told
