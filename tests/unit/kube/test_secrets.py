"""One watch for each namespace, from when it is wanted until it is not."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from ringfence.kube import errors, following
from ringfence.kube.secrets import SecretWatches

from tests.unit.kube.fakes import FakeApi, listing, obj

LABEL = "ringfence.dev/purpose=identity"


def drive(api: FakeApi, scenario: Callable[[SecretWatches], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        watches = SecretWatches(api, LABEL)
        try:
            async with asyncio.timeout(5):
                await scenario(watches)
        finally:
            await watches.aclose()
        assert len(asyncio.all_tasks()) == 1, "nothing runs on"

    asyncio.run(main())


def test_opened_it_is_complete_and_watched_once() -> None:
    api = FakeApi(answers=[listing(obj("a"), obj("b"))])

    async def scenario(watches: SecretWatches) -> None:
        cache = await watches.open("shop")
        assert [each["metadata"]["name"] for each in cache.list()] == ["a", "b"]
        assert await watches.open("shop") is cache
        assert dict(watches.all()) == {"shop": cache}
        assert list(watches.reflectors("shop")) == [cache]
        assert list(watches.reflectors("other")) == []

    drive(api, scenario)
    lists = [each for each in api.requests if each.method == "GET"]
    assert [(each.path, each.query["labelSelector"]) for each in lists] == [("/api/v1/namespaces/shop/secrets", LABEL)]


def test_changes_are_told_of_even_to_who_asks_for_it_later() -> None:
    told: list[tuple[str, str]] = []

    async def scenario(watches: SecretWatches) -> None:
        heard = asyncio.Event()

        def listen(*place: str) -> None:
            told.append((place[0], place[1]))
            heard.set()

        different = obj("a", "11", data={"x": "eA=="})
        api.watches.append([lambda: setattr(watches, "callback", listen), ("MODIFIED", different)])
        await watches.open("shop")
        await heard.wait()

    api = FakeApi(answers=[listing(obj("a"))])
    drive(api, scenario)
    assert told == [("shop", "a")]


def test_closed_it_is_forgotten_and_may_be_opened_again() -> None:
    api = FakeApi(answers=[listing(obj("a")), listing()])

    async def scenario(watches: SecretWatches) -> None:
        first = await watches.open("shop")
        watches.close("shop")
        watches.close("never opened")
        assert dict(watches.all()) == {}
        second = await watches.open("shop")
        assert second is not first
        assert second.list() == []

    drive(api, scenario)


def test_what_cannot_be_read_in_time_is_an_error_with_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "OPEN_SECONDS", 0.05)
    api = FakeApi(answers=[errors.Forbidden("secrets is forbidden")] * 50)

    async def scenario(watches: SecretWatches) -> None:
        with pytest.raises(
            following.NotRead, match="Secrets of namespace shop cannot be read: secrets is forbidden"
        ) as caught:
            await watches.open("shop")
        assert caught.value.retriable
        # It goes on trying: the right may come.
        api.answers[:] = [listing(obj("a"))]
        monkeypatch.setattr(following, "OPEN_SECONDS", 5.0)
        assert len(await watches.open("shop")) == 1

    drive(api, scenario)
