import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from e2e.enforcer import watch
from e2e.enforcer.api import ApiError
from e2e.enforcer.watch import Collection


def pod(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"namespace": "x", "name": name, "resourceVersion": str(version)}}


def event(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": content}


class Script:
    """A server that answers from a script: lists, and for each watch its events and how it ends."""

    def __init__(self, lists: list[list[dict[str, Any]]], watches: list[list[dict[str, Any] | Exception]]) -> None:
        self.lists, self.watches = iter(lists), iter(watches)
        self.asked: list[str] = []
        self.over = threading.Event()

    def get(self, path: str) -> Any:
        self.asked.append("list")
        return {"metadata": {"resourceVersion": "1"}, "items": next(self.lists)}

    def watch(self, path: str, version: str) -> Iterator[Mapping[str, Any]]:
        self.asked.append(version)
        events = next(self.watches, None)
        if events is None:
            self.over.set()
            threading.Event().wait()
            return
        for each in events:
            if isinstance(each, Exception):
                raise each
            yield each


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "FIRST_DELAY", 0.001)


def names_after(script: Script) -> list[str]:
    changed = threading.Event()
    collection = Collection(script, "/pods", changed.set)
    collection.start()
    assert script.over.wait(5)
    assert changed.is_set()
    assert collection.synced.is_set()
    return sorted(name for _, name in collection.objects())


def test_events_change_what_was_listed() -> None:
    script = Script(
        [[pod("a", 1), pod("b", 1)]],
        [[event("ADDED", pod("c", 2)), event("DELETED", pod("a", 3)), event("MODIFIED", pod("b", 4))]],
    )
    assert names_after(script) == ["b", "c"]
    assert script.asked == ["list", "1", "4"]


def test_a_watch_that_ends_goes_on_from_its_last_bookmark() -> None:
    script = Script([[pod("a", 1)]], [[event("BOOKMARK", pod("", 9))], [event("ADDED", pod("b", 10))]])
    assert names_after(script) == ["a", "b"]
    assert script.asked == ["list", "1", "9", "10"]


@pytest.mark.parametrize(
    "ending",
    [ApiError(410, "too old"), event("ERROR", {"code": 410, "message": "too old resource version"})],
    ids=["as an answer", "as an event"],
)
def test_a_version_that_is_too_old_starts_over_from_a_list(ending: Any) -> None:
    script = Script([[pod("a", 1)], [pod("b", 5)]], [[ending]])
    assert names_after(script) == ["b"]
    assert script.asked == ["list", "1", "list", "1"]


def test_what_is_known_stays_while_the_server_is_away() -> None:
    refused: list[dict[str, Any] | Exception] = [ConnectionRefusedError()]
    script = Script([[pod("a", 1)]], [refused, refused, [event("ADDED", pod("b", 2))]])
    assert names_after(script) == ["a", "b"]
    assert script.asked == ["list", "1", "1", "1", "2"]
