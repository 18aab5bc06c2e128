"""The child that enters namespaces: what it finds, writes and leaves, in real ones."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from ringfence.model import proxy
from ringfence.node import entering, kernel, rules
from ringfence.node.entering import Entrant, Holding, NotEntered

from e2e.cluster import debian
from tests.component.redirect_rig import PROXY, Place, own_rules

pytestmark = pytest.mark.component


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Nothing here touches the network of the machine, or leaves a process."""
    debian.ensure(("nft", "ip"))
    before = own_rules()
    yield
    assert own_rules() == before
    assert children() == []


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.close()


def children() -> list[str]:
    command = ["pgrep", "--parent", str(os.getpid()), "--full", "ringfence.node.entrant"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()


@contextlib.asynccontextmanager
async def entrant() -> AsyncIterator[Entrant]:
    made = Entrant()
    try:
        yield made
    finally:
        made.close()


async def hold(where: Entrant, place: Place, *, strict: bool = True, uid: int = PROXY) -> Holding:
    descriptor = os.open(place.namespace.path, os.O_RDONLY)
    try:
        return await where.hold(descriptor, uid, strict=strict)
    finally:
        os.close(descriptor)


def changes(holding: Holding) -> list[int]:
    """Generations told of since the one that was verified."""
    told: list[int] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            told += kernel.generations(holding.changes.recv(1 << 16))
    return [each for each in told if each != holding.generation]


def table(place: Place) -> str:
    return place.run("nft", "--stateless", "list", "table", "inet", rules.TABLE, check=False)


def test_new_rules_are_loaded_and_right_ones_are_left(place: Place) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            first = await hold(where, place)
            assert first.loaded
            assert first.ipv6
            found = table(place)
            assert f"skuid {PROXY}" in found
            assert "counter drop" in found
            for _ in range(3):
                again = await hold(where, place)
                assert not again.loaded
                assert again.generation == first.generation
            assert changes(first) == []
            assert "inet6 ::6/128" in place.run("ip", "-6", "addr", "show", "dev", "lo")

    asyncio.run(scenario())


def test_another_process_of_ours_finds_them_right(place: Place) -> None:
    """After a restart nothing is written where nothing has changed."""

    async def scenario() -> None:
        async with entrant() as where:
            first = await hold(where, place)
        async with entrant() as where:
            again = await hold(where, place)
            assert not again.loaded
            assert again.generation == first.generation

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        f"delete table inet {rules.TABLE}",
        f"flush chain inet {rules.TABLE} leaving",
        f"insert rule inet {rules.TABLE} arriving accept",
        f"add rule inet {rules.TABLE} others accept",
        f"add chain inet {rules.TABLE} more",
        f"add table inet {rules.TABLE} {{ flags dormant; }}",
    ],
)
def test_whatever_is_done_to_them_is_told_and_mended(place: Place, damage: str) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            held = await hold(where, place)
            right = table(place)
            place.load(damage)
            assert changes(held)
            mended = await hold(where, place)
            assert mended.loaded
            assert table(place) == right
            assert changes(mended) == []

    asyncio.run(scenario())


def test_others_tables_are_left_alone(place: Place) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            held = await hold(where, place)
            place.load("add table ip another\nadd chain ip another forward")
            assert changes(held)
            after = await hold(where, place)
            assert not after.loaded
            assert after.generation != held.generation
            await hold(where, place, strict=False)
            assert "table ip another" in place.run("nft", "list", "ruleset")

    asyncio.run(scenario())


def test_another_mode_or_another_user_is_written(place: Place) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            await hold(where, place)
            assert (await hold(where, place, strict=False)).loaded
            assert "counter accept" in table(place)
            assert (await hold(where, place, uid=proxy.LAST_UID)).loaded
            found = table(place)
            assert f"skuid {proxy.LAST_UID}" in found
            assert str(PROXY) not in found

    asyncio.run(scenario())


def test_a_pod_without_ipv6_is_held_as_well(place: Place) -> None:
    place.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")

    async def scenario() -> None:
        async with entrant() as where:
            held = await hold(where, place)
            assert held.loaded
            assert not held.ipv6

    asyncio.run(scenario())


def test_many_at_once(place: Place) -> None:
    places = [Place() for _ in range(12)]

    async def scenario() -> None:
        async with entrant() as where:
            held = await asyncio.gather(*(hold(where, each, uid=PROXY + n) for n, each in enumerate(places)))
            assert all(each.loaded for each in held)
            # The same namespace by many: whoever comes second finds them right, or writes the same.
            await asyncio.gather(*(hold(where, place) for _ in range(12)))
            assert not (await hold(where, place)).loaded

    asyncio.run(scenario())
    for number, each in enumerate(places):
        assert f"skuid {PROXY + number}" in table(each)
        each.close()


def test_a_child_that_was_killed_is_replaced(place: Place) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            await hold(where, place)
            [child] = children()
            os.kill(int(child), signal.SIGKILL)
            assert where._process is not None
            where._process.wait(5)
            assert not (await hold(where, place)).loaded
            assert children() != [child]

    asyncio.run(scenario())


def test_a_machine_without_nft_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    async def scenario() -> None:
        async with entrant() as where:
            with pytest.raises(NotEntered, match="there is no nft program: install nftables"):
                await hold(where, place)

    asyncio.run(scenario())


def test_what_is_no_network_namespace_is_refused() -> None:
    async def scenario() -> None:
        async with entrant() as where:
            for path in (os.devnull, "/proc/self/ns/mnt"):
                descriptor = os.open(path, os.O_RDONLY)
                with pytest.raises(NotEntered, match="setns: Invalid argument"):
                    await where.hold(descriptor, PROXY, strict=True)
                os.close(descriptor)

    asyncio.run(scenario())


def test_rules_that_nft_refuses_change_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            await hold(where, place)
            right = table(place)
            whole = rules.ruleset(PROXY, strict=True)
            monkeypatch.setattr(rules, "ruleset", lambda *_, strict: whole.replace("redirect", "nonsense"))
            place.load("flush ruleset")
            place.load(whole)
            with pytest.raises(NotEntered, match="nft refuses the rules: "):
                await where._ask(
                    {"do": "hold", "rules": rules.ruleset(PROXY, strict=True), "listing": "other"}, _open(place)
                )
            assert table(place) == right

    asyncio.run(scenario())


def _open(place: Place) -> int:
    return os.open(place.namespace.path, os.O_RDONLY)


def test_an_answer_that_does_not_come_is_not_waited_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with entrant() as where:
            await hold(where, place)
            monkeypatch.setattr(entering, "JOB_SECONDS", 0.2)
            [child] = children()
            os.kill(int(child), signal.SIGSTOP)
            with pytest.raises(NotEntered, match=r"no answer from the namespace within 0\.2 s"):
                await hold(where, place)
            monkeypatch.setattr(entering, "JOB_SECONDS", 30)
            # Another one takes over.
            assert not (await hold(where, place)).loaded
            assert children() != [child]

    asyncio.run(scenario())


def test_a_namespace_lives_no_longer_than_its_holding(place: Place) -> None:
    """A pod's network must end with the pod, whatever is still watched there."""
    outside = Place()
    outside.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "eth0", "netns", place.namespace.path)

    async def scenario() -> Any:
        async with entrant() as where:
            return await hold(where, place)

    held = asyncio.run(scenario())
    place.close()
    assert isinstance(held.changes, socket.socket)
    assert "cable" in outside.run("ip", "link")
    held.changes.close()
    for _ in range(200):
        if "cable" not in outside.run("ip", "link"):
            break
        asyncio.run(asyncio.sleep(0.02))
    assert "cable" not in outside.run("ip", "link")
    outside.close()
    place.namespace = type(place.namespace).new()
