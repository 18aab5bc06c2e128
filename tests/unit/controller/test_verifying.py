"""Workers that look at images: woken by what concerns a namespace, and never stopped by another's trouble."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import pytest
from ringfence.caches import Caches
from ringfence.controller.verifying import Verifying
from ringfence.model.errors import RingfenceError
from ringfence.reconcile.verdicts import VerdictKeeper

from tests.unit.webhook.fakes import FakeLister

NAMES = ("verdicts", "policies", "namespaces", "cluster_policies")


class Cache(FakeLister):
    """A Lister that can be subscribed to."""

    def subscribe(self, callback: Callable[[str, str], None]) -> None:
        self.tell = callback


class Keeper:
    """Fulfils VerdictKeeper; remembers, and fails as it is told."""

    def __init__(self) -> None:
        self.looked: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.again: dict[str, float] = {}

    async def reconcile(self, namespace: str) -> float:
        self.looked.append(namespace)
        if namespace in self.failing:
            raise self.failing.pop(namespace)
        return self.again.pop(namespace, 0.0)


class Rig:
    def __init__(self, *namespaces: str) -> None:
        objects = [{"metadata": {"namespace": each, "name": "v"}} for each in namespaces]
        self.caches = {name: Cache(objects if name == "verdicts" else ()) for name in NAMES}
        self.keeper = Keeper()
        self.verifying = Verifying(cast("Caches", self.caches), cast("VerdictKeeper", self.keeper))
        self.verifying.connect()

    def drive(self, act: Callable[[], Any], until: Callable[[], bool]) -> None:
        async def main() -> None:
            async with asyncio.timeout(5):
                task = asyncio.create_task(self.verifying.run())
                await asyncio.sleep(0.01)
                act()
                while not until():  # noqa: ASYNC110 (what is waited for is plain state)
                    await asyncio.sleep(0.01)
                task.cancel()

        asyncio.run(main())


def test_it_begins_with_everything() -> None:
    rig = Rig("a", "b")
    rig.drive(lambda: None, lambda: rig.keeper.looked == ["a", "b"])


def test_whatever_concerns_a_namespace_with_verdicts_wakes_it() -> None:
    rig = Rig("a")
    rig.drive(lambda: rig.caches["verdicts"].tell("new", "v"), lambda: "new" in rig.keeper.looked)
    rig.keeper.looked.clear()

    def changes() -> None:
        rig.caches["policies"].tell("a", "p")
        rig.caches["policies"].tell("b", "p")
        rig.caches["namespaces"].tell("", "b")

    rig.drive(changes, lambda: len(rig.keeper.looked) > 1)
    assert set(rig.keeper.looked) == {"a"}
    rig.keeper.looked.clear()
    rig.drive(lambda: rig.caches["cluster_policies"].tell("", "floor"), lambda: len(rig.keeper.looked) > 1)


def test_it_looks_again_when_it_was_told_to() -> None:
    rig = Rig("a")
    rig.keeper.again["a"] = 0.02
    rig.drive(lambda: None, lambda: rig.keeper.looked == ["a", "a"])


@pytest.mark.parametrize(
    ("error", "defect"),
    [
        (RingfenceError("away"), False),
        (ExceptionGroup("some", [RingfenceError("away"), RingfenceError("gone")]), False),
        (ExceptionGroup("some", [RingfenceError("away"), KeyError("defect")]), True),
        (KeyError("defect"), True),
    ],
)
def test_trouble_in_one_namespace_is_the_others_never(
    error: Exception, defect: bool, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig("a", "b")
    rig.keeper.failing["a"] = error
    with caplog.at_level(logging.WARNING):
        rig.drive(lambda: None, lambda: sorted(rig.keeper.looked) == ["a", "a", "b"])
    (record,) = caplog.records
    # A defect comes with where it is.
    assert bool(record.exc_info) is defect
