"""What is passed on to be looked at is bounded, said once, and never in the way."""

import asyncio

from ringfence.model.errors import RingfenceError
from ringfence.model.signatures import MAX_HELD, Wanted
from ringfence.webhook import wanting
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.wanting import Wants

from tests.unit.webhook.fakes import FakeLister


def image(number: int, namespace: str = "shop") -> Wanted:
    return Wanted(namespace, f"registry.example/app@sha256:{number:064x}")


class Writer:
    """Remembers what is written, or fails."""

    def __init__(self) -> None:
        self.written: list[Wanted] = []
        self.fails = False

    async def __call__(self, wanted: Wanted) -> None:
        if self.fails:
            raise RingfenceError("away")
        self.written.append(wanted)


class Rig:
    def __init__(self, held: int = 0) -> None:
        self.now = 0.0
        self.writer = Writer()
        self.metrics = Metrics()
        objects = [{"metadata": {"namespace": "shop", "name": image(1000 + n).name}} for n in range(held)]
        self.wants = Wants(FakeLister(objects), self.writer, self.metrics, lambda: self.now)

    async def written(self) -> list[Wanted]:
        task = asyncio.create_task(self.wants.run())
        await asyncio.sleep(0.02)
        task.cancel()
        return self.writer.written

    @property
    def dropped(self) -> float:
        return self.metrics.wants_dropped._value.get()


def test_the_same_is_said_once_and_again_later() -> None:
    async def scenario() -> None:
        rig = Rig()
        for _ in range(3):
            rig.wants.offer((image(1), image(2)))
        assert await rig.written() == [image(1), image(2)]
        rig.wants.offer((image(1),))
        assert len(await rig.written()) == 2
        rig.now = wanting.AGAIN
        rig.wants.offer((image(1),))
        assert len(await rig.written()) == 3

    asyncio.run(scenario())


def test_what_could_not_be_said_is_said_when_somebody_comes_again() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.writer.fails = True
        rig.wants.offer((image(1),))
        assert await rig.written() == []
        rig.writer.fails = False
        rig.wants.offer((image(1),))
        assert await rig.written() == [image(1)]

    asyncio.run(scenario())


def test_no_namespace_takes_the_place_of_the_others() -> None:
    rig = Rig()
    rig.wants.offer(tuple(image(n) for n in range(10_000)))
    assert rig.dropped == 10_000 - wanting.MAX_OF_NAMESPACE
    rig.wants.offer((image(1, "other"),))
    assert rig.dropped == 10_000 - wanting.MAX_OF_NAMESPACE
    for number in range(1000):
        rig.wants.offer((image(1, f"namespace-{number}"),))
    assert len(rig.wants._waiting) == wanting.MAX_WAITING


def test_a_full_namespace_asks_for_what_it_has_only() -> None:
    rig = Rig(held=MAX_HELD)
    rig.wants.offer((image(1), image(1000)))
    assert rig.dropped == 1
    assert list(rig.wants._waiting.values()) == [image(1000)]
