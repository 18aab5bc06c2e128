"""When the keeper looks, what it mends, and what it leaves alone; namespaces and nft are fakes."""

import asyncio
import gc
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ringfence.model import proxy
from ringfence.model.ports import Object
from ringfence.node.entering import Entrant, Holding, NotEntered
from ringfence.node.keeper import Keeper, Timing
from ringfence.node.processes import Finder, Network

UID = "6f1f9d9b-5a2e-4a55-9f63-0d9b1f0f7c11"
QUICK = Timing(first=0.002, longest=0.01, look=30, read=300, calm=0.05)


class FakeFinder(Finder):
    """``networks``: inode by pod; a missing one has none yet."""

    def __init__(self) -> None:
        self.networks: dict[str, int] = {}
        self.looks = 0

    def find(self, uid: str) -> Network | None:
        self.looks += 1
        if uid not in self.networks:
            return None
        return Network(os.open(os.devnull, os.O_RDONLY), (4, self.networks[uid]), 0.1)


class FakeEntrant(Entrant):
    """Remembers what it was asked; what is in force is ``rules`` by user id."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, bool]] = []
        self.rules: dict[int, bool] = {}
        self.errors: list[str] = []
        self.ends: dict[int, socket.socket] = {}
        self.generation = 1
        self.groups: dict[int, int] = {}

    async def hold(self, namespace: int, uid: int, gid: int = 0, *, strict: bool) -> Holding:
        os.fstat(namespace)
        await asyncio.sleep(0)
        if self.errors:
            raise NotEntered(self.errors.pop(0))
        self.asked.append((uid, strict))
        self.groups[uid] = gid
        loaded = self.rules.get(uid) is not strict
        self.rules[uid] = strict
        ours, self.ends[uid] = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        return Holding(loaded, self.generation, True, ours)

    def told(self, uid: int, generation: int) -> None:
        """nftables says that it has a new generation."""
        body = struct.pack("=BBH", 0, 0, 0) + struct.pack("=HH", 8, 1) + generation.to_bytes(4, "big")
        self.ends[uid].send(struct.pack("=IHHII", 16 + len(body), (10 << 8) | 15, 0, 0, 0) + body)


@dataclass
class FakeLister:
    """A cache."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    synced: bool = True

    def stale_for(self, monotonic: float) -> float:
        return 0.0

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> list[Object]:
        return list(self.objects.values())


class Rig:
    def __init__(self, timing: Timing) -> None:
        self.entrant, self.finder = FakeEntrant(), FakeFinder()
        self.pods, self.namespaces = FakeLister(), FakeLister()
        self.keeper = Keeper(self.entrant, self.finder, self.pods, self.namespaces, timing)

    def enrol(self, how: str, namespace: str = "shop") -> None:
        labels = {"ringfence.dev/enroll": how}
        self.namespaces.objects["", namespace] = {"metadata": {"name": namespace, "labels": labels}}
        self.keeper.namespace_changed("", namespace)

    def pod(self, name: str = "web", uid: str = UID, user: Any = proxy.FIRST_UID, **spec: Any) -> None:
        context = {"runAsUser": user, "runAsGroup": proxy.LAST_UID}
        sidecar = {"name": proxy.CONTAINER, "securityContext": context}
        metadata = {"name": name, "namespace": "shop", "uid": uid}
        self.pods.objects["shop", name] = {"metadata": metadata, "spec": {"initContainers": [sidecar], **spec}}
        self.keeper.pod_changed("shop", name)

    def gone(self, name: str = "web") -> None:
        del self.pods.objects["shop", name]
        self.keeper.pod_changed("shop", name)

    async def state(self, wanted: str, name: str = "shop/web") -> None:
        await until(lambda: self.keeper.states().get(name) == wanted)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not check():  # noqa: ASYNC110 (the keeper tells nobody)
            await asyncio.sleep(0.001)


def playing(scenario: Callable[[Rig], Awaitable[None]], timing: Timing = QUICK) -> None:
    async def play() -> None:
        rig = Rig(timing)
        try:
            await scenario(rig)
        finally:
            await rig.keeper.close()
            for end in rig.entrant.ends.values():
                end.close()
            assert rig.keeper.states() == dict.fromkeys(rig.keeper.states(), "refused")

    asyncio.run(play())


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_pod_is_redirected_as_soon_as_it_has_a_network() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.pod()
        await rig.state("waiting")
        await until(lambda: rig.finder.looks > 3)
        assert rig.entrant.asked == []
        rig.finder.networks[UID] = 77
        await rig.state("held")
        assert rig.entrant.asked == [(proxy.FIRST_UID, True)]
        assert rig.entrant.groups == {proxy.FIRST_UID: proxy.LAST_UID}

    playing(scenario)


def test_a_new_cgroup_is_a_reason_to_look_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.pod()
        await until(lambda: rig.finder.looks == 1)
        rig.finder.networks[UID] = 77
        rig.keeper.cgroup_made("another")
        await asyncio.sleep(0.02)
        assert rig.entrant.asked == []
        rig.keeper.cgroup_made(UID)
        await rig.state("held")

    playing(scenario, Timing(first=60, longest=60))


def test_a_pod_that_is_held_is_left_alone() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        for _ in range(5):
            rig.pod()
            rig.keeper.cgroup_made("")
            rig.enrol("enforce")
            await asyncio.sleep(0.005)
        assert len(rig.entrant.asked) == 1
        assert rig.finder.looks > 1

    playing(scenario)


def test_the_mode_follows_the_namespace() -> None:
    async def scenario(rig: Rig) -> None:
        rig.finder.networks[UID] = 77
        rig.pod()
        # Not known yet: as if it were enforced.
        await rig.state("held")
        rig.enrol("audit")
        await until(lambda: len(rig.entrant.asked) == 2)
        rig.enrol("enforce")
        rig.enrol("audit", "elsewhere")
        await until(lambda: len(rig.entrant.asked) == 3)
        assert [strict for _, strict in rig.entrant.asked] == [True, False, True]

    playing(scenario)


def test_nothing_is_done_before_the_namespaces_are_known() -> None:
    """After a restart an audited pod must not be enforced for a moment, nor an enforced one opened."""

    async def scenario(rig: Rig) -> None:
        rig.namespaces.synced = False
        rig.finder.networks[UID] = 77
        rig.pod()
        await asyncio.sleep(0.05)
        assert rig.entrant.asked == []
        rig.namespaces.synced = True
        rig.enrol("audit")
        await rig.state("held")
        assert rig.entrant.asked == [(proxy.FIRST_UID, False)]

    playing(scenario)


def test_what_another_hand_changed_is_mended_at_once() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        rig.entrant.told(proxy.FIRST_UID, 1)  # our own
        await asyncio.sleep(0.02)
        assert len(rig.entrant.asked) == 1
        await asyncio.sleep(QUICK.calm)
        rig.entrant.rules.clear()
        rig.entrant.generation = 3
        rig.entrant.told(proxy.FIRST_UID, 2)
        await until(lambda: len(rig.entrant.asked) == 2)
        assert rig.entrant.rules == {proxy.FIRST_UID: True}
        # What was told before the last look is old.
        rig.entrant.told(proxy.FIRST_UID, 3)
        await asyncio.sleep(0.02)
        assert len(rig.entrant.asked) == 2

    playing(scenario)


def test_somebody_who_does_not_give_up_is_not_answered_without_a_pause() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        clock = asyncio.get_running_loop().time
        begun, asked = clock(), len(rig.entrant.asked)
        # However slow the machine is: at last it is answered, and each time a pause later.
        while clock() < begun + 0.5 or len(rig.entrant.asked) <= asked + 3:
            rig.entrant.rules.clear()
            rig.entrant.told(proxy.FIRST_UID, 2)
            await asyncio.sleep(0.001)
        assert len(rig.entrant.asked) - asked <= (clock() - begun) / QUICK.calm + 1

    playing(scenario)


def test_a_generation_that_wraps_around_is_a_later_one() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.entrant.generation = 0xFFFFFFFF
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        await asyncio.sleep(QUICK.calm)
        rig.entrant.told(proxy.FIRST_UID, 1)
        await until(lambda: len(rig.entrant.asked) == 2)

    playing(scenario)


def test_a_failure_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.entrant.errors = ["nft refuses the rules"] * 3
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("failed")
        await rig.state("held")

    playing(scenario)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["pod shop/web: no redirect yet, trying again: nft refuses the rules"]


def test_a_defect_concerns_one_pod_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        find, failing = rig.finder.find, [UID, UID]

        def sometimes(uid: str) -> Network | None:
            if uid in failing:
                failing.remove(uid)
                raise RuntimeError("a defect")
            return find(uid)

        monkeypatch.setattr(rig.finder, "find", sometimes)
        rig.finder.networks |= {UID: 77, "other": 78}
        rig.pod()
        rig.pod("other", "other", proxy.LAST_UID)
        await rig.state("held", "shop/other")
        await rig.state("held")

    playing(scenario)


def test_a_new_sandbox_is_a_new_network() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        del rig.finder.networks[UID]
        rig.keeper.cgroup_made(UID)
        await rig.state("waiting")
        rig.entrant.rules.clear()
        rig.finder.networks[UID] = 78
        await rig.state("held")
        rig.finder.networks[UID] = 79
        rig.keeper.cgroup_made(UID)
        await until(lambda: len(rig.entrant.asked) == 3)

    playing(scenario)


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks |= {UID: 77, "second": 78}
        rig.pod()
        await rig.state("held")
        rig.pod(uid="second", user=proxy.LAST_UID)
        await until(lambda: (proxy.LAST_UID, True) in rig.entrant.asked)
        rig.gone()
        assert rig.keeper.states() == {}

    playing(scenario)


def test_a_pod_that_must_not_be_touched_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        for _ in range(3):
            rig.pod(user=0)
        rig.pod("host", "host", hostNetwork=True)
        await asyncio.sleep(0.02)
        assert rig.keeper.states() == {"shop/web": "refused", "shop/host": "refused"}
        assert rig.entrant.asked == []
        rig.gone("host")
        assert rig.keeper.states() == {"shop/web": "refused"}

    playing(scenario)
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 2
    assert errors[0].startswith("pod shop/web gets no redirect, so it does not start: its container")


def test_rules_are_read_again_now_and_then() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await until(lambda: len(rig.entrant.asked) >= 3)

    playing(scenario, Timing(first=0.002, longest=0.01, look=0.01, read=0.02))


def test_ending_leaves_everything_in_force() -> None:
    async def scenario(rig: Rig) -> None:
        rig.enrol("enforce")
        rig.finder.networks[UID] = 77
        rig.pod()
        await rig.state("held")
        await rig.keeper.close()
        assert rig.entrant.rules == {proxy.FIRST_UID: True}
        assert rig.keeper.states() == {}

    playing(scenario)
