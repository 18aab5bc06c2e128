"""proxyd under many proxies: from the write of a policy to its use by all of them, what a stream costs, and how fast
all of them are back after proxyd was killed.

proxyd is a process of its own with the real compiler, real tokens and an API server. The proxies are fakes in the
measuring process, on the same cores: they take and acknowledge everything, and apply nothing.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ringfence.inject.bootstrap import BACK_OFF_SECONDS, CONNECT_SECONDS

from bench import rig, table
from bench.proxyd_cluster import PODS_OF_IDENTITY, Bench
from bench.proxyd_fakes import Fake
from e2e.cluster.controlplane import ControlPlane

STREAMS: Final = (1000, 3000)
CHANGES: Final = 7
GOALS: Final = {1000: 0.7, 3000: 2.0}
GOAL_MEMORY: Final = 100 * 1024
#: The share of the proxies that connects before memory is counted: proxies of every class are among them.
_FIRST_SHARE: Final = 0.1
#: Seconds that proxyd is away: long enough for every proxy to wait as long as it ever does.
_AWAY: Final = 15.0
_WITHIN: Final = 180.0


@dataclass(frozen=True, slots=True)
class Spell:
    """Changes of one kind: seconds until all proxies that each concerns have it, and processor seconds of proxyd."""

    seconds: Sequence[float]
    cpu: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return f"median {self.median:.2f} s, worst of {len(self.seconds)} {max(self.seconds):.2f} s"


@dataclass(frozen=True, slots=True)
class Storm:
    """All proxies coming back: seconds after proxyd listened until half and all had a policy that was written while it
    was away, tries that were given up, processor seconds of proxyd meanwhile."""

    half: float
    all: float
    late: int
    cpu: float


@dataclass(frozen=True, slots=True)
class Trial:
    """What was seen with so many streams. Seconds; ``memory`` in bytes a stream, ``once`` in bytes whatever the number;
    ``idle`` in cores."""

    streams: int
    connect: float
    memory: float
    once: float
    common: Spell
    single: Spell
    idle: float
    storm: Storm


def rows() -> list[table.Row]:
    """The figures for each number of streams."""
    found: list[table.Row] = []
    for count in STREAMS:
        found += _rows(asyncio.run(trial(count)))
    return found


def _rows(trial: Trial) -> list[table.Row]:
    count, goal, storm = trial.streams, GOALS[trial.streams], trial.storm
    return [
        table.Row(f"{count} proxies connect at once: all configured", f"{trial.connect:.1f} s"),
        table.Row(
            f"policy of all {count}: from its write until all have acknowledged",
            str(trial.common),
            f"at most {goal} s",
            trial.common.median <= goal,
        ),
        table.Row("    processor time of proxyd for that change", f"{trial.common.cpu:.2f} s"),
        table.Row(f"policy of {PODS_OF_IDENTITY} of {count}: the same", str(trial.single)),
        table.Row("    processor time of proxyd for that change", f"{trial.single.cpu:.2f} s"),
        table.Row(
            f"memory of proxyd a stream, {count}",
            f"{trial.memory / 1024:.0f} KiB (and {trial.once / 2**20:.0f} MiB once)",
            f"at most {GOAL_MEMORY // 1024} KiB",
            trial.memory <= GOAL_MEMORY,
        ),
        table.Row(f"processor use while nothing happens, {count}", f"{trial.idle * 100:.1f} % of a core"),
        table.Row(
            f"proxyd killed, policy written, started after {_AWAY:.0f} s: in force at half, at all {count}",
            f"{storm.half:.1f} s, {storm.all:.1f} s ({storm.late} tries were given up, {storm.cpu:.1f} s of processor)",
        ),
    ]


async def trial(count: int) -> Trial:
    """Measure with so many streams."""
    with ControlPlane("bench-proxyd") as plane, tempfile.TemporaryDirectory() as place:
        async with rig.connected(plane.kubeconfig) as api:
            bench = Bench(plane, api, Path(place), count)
            rig.say(f"proxyd: making {count} pods and their tokens")
            await bench.populate()
            bench.start()
            try:
                return await _measured(bench)
            finally:
                bench.kill()


async def _measured(bench: Bench) -> Trial:
    count = len(bench.pods)
    await bench.listening()
    await asyncio.sleep(3)
    empty = _resident(bench.pid)
    first = int(count * _FIRST_SHARE)
    async with _running(bench, bench.pods[:first]) as some:
        await _until(lambda: all(_complete(each) for each in some), "the first are configured")
        await asyncio.sleep(3)
        before = _resident(bench.pid)
        started = time.monotonic()
        async with _running(bench, bench.pods[first:]) as others:
            await _until(lambda: all(_complete(each) for each in others), "all are configured")
            connect = max(each.at for each in others) - started
            await asyncio.sleep(5)
            memory = (_resident(bench.pid) - before) / len(others)
            rig.say(f"proxyd: {count} streams connected in {connect:.1f} s, {memory / 1024:.0f} KiB each")
            fakes = [*some, *others]
            idle = await _idle(bench)
            common = await _spell(bench, bench.write_common, fakes)
            owned = [each for each in fakes if bench.owner(each.pod) == bench.accounts[-1]]
            single = await _spell(bench, lambda number: bench.write_policy(bench.accounts[-1], number), owned)
    storm = await storm_of(bench)
    return Trial(count, connect, memory, before - first * memory - empty, common, single, idle, storm)


@asynccontextmanager
async def _running(
    bench: Bench, pods: Sequence[str], listens: asyncio.Event | None = None, longest: float = BACK_OFF_SECONDS[1]
) -> AsyncIterator[list[Fake]]:
    """The proxies of these pods while the block runs."""
    if listens is None:
        listens = asyncio.Event()
        listens.set()
    fakes = [Fake(bench, pod, longest) for pod in pods]
    tasks = [asyncio.create_task(each.run(listens)) for each in fakes]
    try:
        yield fakes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _complete(fake: Fake) -> bool:
    return fake.policies > 0 and fake.secrets > 0


async def _idle(bench: Bench) -> float:
    started, cpu = time.monotonic(), rig.cpu_seconds(bench.pid)
    await asyncio.sleep(5)
    return (rig.cpu_seconds(bench.pid) - cpu) / (time.monotonic() - started)


async def _spell(bench: Bench, write: Callable[[int], Awaitable[None]], fakes: Sequence[Fake]) -> Spell:
    cpu, seconds = rig.cpu_seconds(bench.pid), []
    for number in range(1, CHANGES + 1):
        before = [each.policies for each in fakes]
        started = time.monotonic()
        await write(number)
        known = list(zip(fakes, before, strict=True))
        await _until(_newer(known), "all have the policy")
        seconds.append(max(each.at for each in fakes) - started)
        rig.say(f"proxyd: change {number} at {len(fakes)}: {seconds[-1]:.2f} s")
        await asyncio.sleep(2)
    return Spell(seconds, (rig.cpu_seconds(bench.pid) - cpu) / CHANGES)


async def storm_of(bench: Bench, longest: float = BACK_OFF_SECONDS[1], patience: float = CONNECT_SECONDS) -> Storm:
    """Kill proxyd, write a policy, start it after a while.

    ``longest`` is the longest wait between two tries, ``patience`` how long one may take to connect; in seconds.
    """
    listens = asyncio.Event()
    listens.set()
    async with _running(bench, bench.pods, listens, longest) as fakes:
        await _until(lambda: all(_complete(each) for each in fakes), "all are configured")
        for each in fakes:
            each.patience = patience
        listens.clear()
        bench.kill()
        # Never the same twice: what is not new is not sent.
        await bench.write_common(int(time.time()))
        await asyncio.sleep(_AWAY)
        before = [each.policies for each in fakes]
        bench.start()
        await bench.listening()
        started, cpu = time.monotonic(), rig.cpu_seconds(bench.pid)
        listens.set()
        known = list(zip(fakes, before, strict=True))
        await _until(_newer(known), "all have the policy")
        took = sorted(each.at - started for each in fakes)
        late = sum(each.late for each in fakes)
        return Storm(took[len(took) // 2], took[-1], late, rig.cpu_seconds(bench.pid) - cpu)


def _newer(known: Sequence[tuple[Fake, int]]) -> Callable[[], bool]:
    """Whether all have got more than they had."""
    return lambda: all(each.policies > had for each, had in known)


async def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WITHIN
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_WITHIN} s: {what}")
        await asyncio.sleep(0.02)


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024
