"""A stream's writer sleeps until there is something to do, and no longer than it said."""

import asyncio
import time

import pytest
from ringfence.proxyd.authentication import Caller
from ringfence.proxyd.server import Ended, Stream


def stream() -> Stream:
    return Stream(Caller("shop", "web-1", "uid-1", "web", "node-1", 0.0))


def test_it_is_woken_by_what_came_before_it_slept_once_and_by_what_comes_then() -> None:
    async def scenario() -> None:
        each = stream()
        each.wake()
        each.wake()
        await asyncio.wait_for(each.woken(60), 1)
        sleeping = asyncio.create_task(each.woken(60))
        await asyncio.sleep(0.05)
        assert not sleeping.done()
        each.wake()
        await asyncio.wait_for(sleeping, 1)

    asyncio.run(scenario())


def test_it_wakes_by_itself_in_time() -> None:
    async def scenario() -> None:
        started = time.monotonic()
        await asyncio.wait_for(stream().woken(0.1), 5)
        assert time.monotonic() - started >= 0.09

    asyncio.run(scenario())


def test_it_ends_with_the_first_reason_asleep_or_not() -> None:
    async def scenario() -> None:
        for asleep in (False, True):
            each = stream()
            writer = asyncio.create_task(each.woken(60))
            if asleep:
                await asyncio.sleep(0.05)
            each.end(Ended("first"))
            each.end(Ended("second"))
            with pytest.raises(Ended, match="first"):
                await asyncio.wait_for(writer, 1)
            each.wake()
            with pytest.raises(Ended, match="first"):
                await asyncio.wait_for(each.woken(60), 1)

    asyncio.run(scenario())


def test_who_waits_no_more_is_not_woken() -> None:
    async def scenario() -> None:
        each = stream()
        writer = asyncio.create_task(each.woken(60))
        await asyncio.sleep(0)
        writer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writer
        each.wake()
        await asyncio.wait_for(each.woken(60), 1)

    asyncio.run(scenario())
