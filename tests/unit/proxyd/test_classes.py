"""Only what rests on something else than before is computed, and what cannot be compared is."""

import asyncio
from collections.abc import Hashable

import pytest
from ringfence.model.ports import Object
from ringfence.model.proxy import ProxyConfig
from ringfence.proxyd import classes as classes_
from ringfence.proxyd import metrics
from ringfence.proxyd.classes import Classes
from ringfence.proxyd.wire import Offer

from tests.unit.proxyd.xds import config


class Translator:
    """Classes are words; each rests on what ``rests`` says of it."""

    def __init__(self) -> None:
        self.rests: dict[Hashable, object] = {}
        self.broken: set[Hashable] = set()
        self.computed: list[Hashable] = []

    def subject(self, pod: Object) -> Hashable:
        return str(pod)

    def snapshot(self) -> object:
        return None

    def footing(self, subject: Hashable, mesh: object) -> object:
        del mesh
        if subject not in self.rests:
            raise RuntimeError("not to be told")
        return self.rests[subject]

    def configure(self, subject: Hashable, mesh: object) -> ProxyConfig:
        del mesh
        self.computed.append(subject)
        if subject in self.broken:
            raise RuntimeError("broken")
        return config(f"{subject} on {self.rests.get(subject)}", clusters=["c"])


class Rig:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(classes_, "FIRST_PAUSE", 0.0)
        monkeypatch.setattr(classes_, "LONGEST_PAUSE", 0.0)
        self.translator = Translator()
        self.delivered: list[tuple[Hashable, str]] = []
        self.classes = Classes(self.translator, self.deliver, metrics.PassMeter(), lambda _: None)

    def deliver(self, subject: Hashable, offer: Offer) -> None:
        self.delivered.append((subject, offer.revision))

    async def passed(self) -> list[Hashable]:
        """What was computed by a pass after a change."""
        self.translator.computed.clear()
        self.classes.changed("")
        done = asyncio.Event()
        self.classes.passed = lambda _: done.set()
        task = asyncio.create_task(self.classes.run())
        async with asyncio.timeout(60):  # it compares in threads, which a busy machine lets wait
            await done.wait()
        task.cancel()
        return list(self.translator.computed)


def test_only_what_rests_on_something_else_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(classes_, "_AT_ONCE", 2)
        rig = Rig(monkeypatch)
        rig.translator.rests = {"a": 1, "b": (1, "x"), "c": 1}
        for each in ("a", "b", "c"):
            rig.classes.join(each)
        assert await rig.passed() == ["a", "b", "c"]
        assert await rig.passed() == []
        rig.translator.rests["b"] = (2, "x")
        assert await rig.passed() == ["b"]
        assert rig.delivered[-1] == ("b", "b on (2, 'x')")
        # Who comes again has nothing any more, whatever it rests on.
        rig.classes.leave("c")
        rig.classes.join("c")
        assert await rig.passed() == ["c"]

    asyncio.run(scenario())


def test_what_cannot_be_compared_or_could_not_be_computed_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        rig = Rig(monkeypatch)
        rig.translator.rests = {"unknown": None, "broken": 1}
        rig.translator.broken = {"broken"}
        for each in ("unknown", "untold", "broken"):
            rig.classes.join(each)
        for _ in range(2):
            assert await rig.passed() == ["unknown", "untold", "broken"]
        rig.translator.broken.clear()
        assert await rig.passed() == ["unknown", "untold", "broken"]
        assert await rig.passed() == ["unknown", "untold"]

    asyncio.run(scenario())
