"""Each key once at a time, the last change always seen, failures later and later."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ringfence.controller.queue import WorkQueue
from ringfence.kube.backoff import Backoff


def drive(scenario: Callable[[WorkQueue], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(5):
            await scenario(WorkQueue(lambda: Backoff(0.01, 0.04, randomness=lambda: 1.0)))

    asyncio.run(main())


def test_a_key_added_often_is_taken_once() -> None:
    async def scenario(queue: WorkQueue) -> None:
        for _ in range(3):
            queue.add("a")
        queue.add("b")
        assert len(queue) == 2
        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 0

    drive(scenario)


def test_a_key_in_work_is_not_given_to_another_worker_but_comes_again() -> None:
    async def scenario(queue: WorkQueue) -> None:
        queue.add("a")
        await queue.take()
        queue.add("a")
        waiting = asyncio.create_task(queue.take())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        queue.done("a")
        assert await waiting == "a"
        assert not queue.idle
        queue.done("a")
        assert queue.idle

    drive(scenario)


def test_a_failed_key_comes_again_later_and_later() -> None:
    async def scenario(queue: WorkQueue) -> None:
        queue.add("a")
        waits = []
        for _ in range(4):
            await queue.take()
            waits.append(queue.failed("a"))
        assert waits == [0.01, 0.02, 0.04, 0.04]
        await queue.take()
        queue.done("a")
        queue.add("a")
        await queue.take()
        assert queue.failed("a") == 0.01

    drive(scenario)


def test_what_a_server_asked_to_wait_is_waited() -> None:
    async def scenario(queue: WorkQueue) -> None:
        queue.add("a")
        await queue.take()
        assert queue.failed("a", at_least=0.05) == 0.05

    drive(scenario)


def test_a_change_does_not_wait_for_the_next_try() -> None:
    async def scenario(queue: WorkQueue) -> None:
        queue.add("a")
        await queue.take()
        queue.failed("a", at_least=60.0)
        queue.add("a")
        assert await queue.take() == "a"

    drive(scenario)


def test_of_several_wishes_the_earliest_counts() -> None:
    async def scenario(queue: WorkQueue) -> None:
        queue.add_later("a", 60.0)
        queue.add_later("a", 0.01)
        queue.add_later("a", 30.0)
        assert not queue.idle
        assert await queue.take() == "a"
        queue.done("a")
        assert queue.idle

    drive(scenario)


def test_a_worker_that_is_cancelled_takes_no_key_with_it() -> None:
    async def scenario(queue: WorkQueue) -> None:
        first = asyncio.create_task(queue.take())
        second = asyncio.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await second == "a"
        await asyncio.gather(first, return_exceptions=True)

    drive(scenario)


def test_workers_share_what_there_is() -> None:
    async def scenario(queue: WorkQueue) -> None:
        seen: list[str] = []
        active: set[str] = set()

        async def work() -> None:
            while True:
                key = await queue.take()
                assert key not in active
                active.add(key)
                await asyncio.sleep(0)
                active.discard(key)
                seen.append(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        for number in range(200):
            queue.add(f"key-{number % 20}")
            if number % 7 == 0:
                await asyncio.sleep(0)
        while not queue.idle:  # noqa: ASYNC110 (plain state)
            await asyncio.sleep(0.001)
        assert set(seen) == {f"key-{number}" for number in range(20)}
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    drive(scenario)
