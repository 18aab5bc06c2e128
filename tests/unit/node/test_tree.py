"""New cgroups are told of at once, whatever was there before and in whatever order they come."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ringfence.node.tree import Tree

A = "6f1f9d9b-5a2e-4a55-9f63-0d9b1f0f7c11"
B = "00000000-5a2e-4a55-9f63-0d9b1f0f7c11"


@asynccontextmanager
async def watched(mount: Path) -> AsyncIterator[tuple[Tree, list[str]]]:
    told: list[str] = []
    tree = Tree(mount, told.append)
    tree.open()
    try:
        tree.cover(mount / "kubepods")
        yield tree, told
    finally:
        tree.close()


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():  # noqa: ASYNC110 (what is waited for is in files)
            await asyncio.sleep(0.002)


def test_pods_and_containers_in_every_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "kubepods" / "besteffort" / f"pod{A}").mkdir(parents=True)
        async with watched(tmp_path) as (tree, told):
            assert told == [A]
            (tmp_path / "kubepods" / "besteffort" / f"pod{A}" / "c1").mkdir()
            await until(lambda: told == [A, A])
            # A class that the kubelet makes later, with a pod in it before anybody can watch.
            (tmp_path / "kubepods" / "burstable" / f"pod{B}" / "c1").mkdir(parents=True)
            await until(lambda: B in told)
            before = told.count(B)
            (tmp_path / "kubepods" / "burstable" / f"pod{B}" / "c2").mkdir()
            await until(lambda: told.count(B) > before)
            tree.cover(tmp_path / "kubepods")
            count = len(told)
            # What is deeper than a container is a program's own.
            (tmp_path / "kubepods" / "burstable" / f"pod{B}" / "c2" / f"pod{A}").mkdir()
            await asyncio.sleep(0.05)
            assert len(told) == count

    asyncio.run(scenario())


def test_a_pod_that_goes_is_forgotten_and_may_come_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        pod = tmp_path / "kubepods" / f"pod{A}"
        pod.mkdir(parents=True)
        async with watched(tmp_path) as (tree, told):
            pod.rmdir()
            await until(lambda: pod not in tree._watches.values())
            pod.mkdir()
            await until(lambda: told == [A, A])

    asyncio.run(scenario())


def test_a_root_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with watched(tmp_path) as (tree, told):
            (tmp_path / "kubepods" / f"pod{A}").mkdir(parents=True)
            tree.cover(tmp_path / "kubepods")
            assert told == [A]

    asyncio.run(scenario())
