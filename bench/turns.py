"""Pairs of pods that differ in one thing, called in turns; what each of them costs beside the first."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Final

from bench import rig
from bench.envoys import Memory
from bench.fortio import Load
from bench.proxy import Bench, Seen, Setup

ROUNDS, KEPT = 8, 4
LOAD: Final = Load(rate=300, connections=8, seconds=2)
_SETTLED: Final = 5.0
_MIB: Final = 2**20

#: By name: the pair, and the headers that its caller sends.
Pairs = Mapping[str, tuple[Setup, Mapping[str, str]]]


class Turns:
    """What was seen of several pairs, the first of which is what the others are compared with."""

    def __init__(self, bench: Bench, pairs: Pairs, title: str) -> None:
        time.sleep(_SETTLED)
        self._base = next(iter(pairs))
        for setup, headers in pairs.values():
            setup.call(bench.fortio, "HTTP", Load(LOAD.rate, LOAD.connections, 1), headers)
        seen: dict[str, list[Seen]] = {name: [] for name in pairs}
        for number in range(ROUNDS):
            for name, (setup, headers) in pairs.items():
                seen[name].append(setup.call(bench.fortio, "HTTP", LOAD, headers))
            last = ", ".join(f"{name}: {found[-1].result.p50 * 1e3:.2f} ms" for name, found in seen.items())
            rig.say(f"{title}: round {number + 1} of {ROUNDS}: {last}")
        # The least disturbed ones: what disturbs only adds.
        self._seen = {name: sorted(found, key=lambda one: one.result.p99)[:KEPT] for name, found in seen.items()}
        self._memory: dict[str, Memory] = {name: setup.proxies[0].memory() for name, (setup, _) in pairs.items()}

    def median(self, name: str, of: Callable[[Seen], float]) -> float:
        """Of the calls of a pair that count."""
        return statistics.median(of(each) for each in self._seen[name])

    def added_cpu(self, name: str) -> float:
        """Seconds of the server's proxy a request beyond the first pair's: the caller's has nothing more to do."""
        return 2 * (self.median(name, _cpu) - self.median(self._base, _cpu))

    def told(self, name: str) -> str:
        """A pair beside the first."""
        p50, p99 = (
            [self.median(each, of) * 1e3 for each in (name, self._base)]
            for of in (lambda one: one.result.p50, lambda one: one.result.p99)
        )
        times = self.median(name, _cpu) / self.median(self._base, _cpu)
        more = (self._memory[name].anonymous - self._memory[self._base].anonymous) / _MIB
        return (
            f"p50 {p50[0]:.2f} ms ({self._base} {p50[1]:.2f}), p99 {p99[0]:.2f} ms ({self._base} {p99[1]:.2f}), "
            f"processor {self.added_cpu(name) * 1e6:+.0f} us a request ({times:.2f} times), memory {more:+.1f} MiB"
        )


def _cpu(one: Seen) -> float:
    return one.cpu
