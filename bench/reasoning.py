"""How long answers take: may this end call that one, and who may, in the estate of the compiler's measurement.

Pure computation in one thread, measured as processor time. A question is asked as the command line asks it once files
are read and policies resolved: one port with its layers and what is missing for the other answer; every port in a
table; sets of ends by their kinds, which are sorted anew for each question as they are for each command.
"""

import argparse
import io
import random
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from ringfence import memory
from ringfence.cli import can_i, main
from ringfence.cli.console import Console
from ringfence.cli.world import Loaded
from ringfence.policy.decide import Effective
from ringfence.policy.resolve import resolve

from bench import compile as estate
from bench import table

QUESTIONS: Final = 200
SETS: Final = 50
GOAL: Final = 0.050
GOAL_RESOLVED: Final = 3.0


def rows() -> list[table.Row]:
    """The figures of the answers."""
    memory.collect_seldom()  # as every process of Ringfence does at its start
    cluster = estate.world()
    effective: Effective = cache(lambda name: resolve(cluster, name))
    started = time.process_time()
    for name in cluster.namespaces:
        effective(name)
    resolved = time.process_time() - started
    asker = Asker(Loaded(cluster), effective, main.parser("ringfence"))
    dice = random.Random(3)  # noqa: S311 - a bench wants the same numbers again
    names = sorted(cluster.namespaces)
    pairs = [(_identity(dice, names), _identity(dice, names)) for _ in range(QUESTIONS)]
    few = pairs[:SETS]
    from_namespaces = [(f"namespace:{dice.choice(names)}", target) for _, target in few]
    from_zones = [(f"zone:zone-{dice.randrange(estate.ZONES)}", target) for _, target in few]
    return [
        table.Row("resolving all policies", f"{resolved:.2f} s", f"{GOAL_RESOLVED:.0f} s", resolved <= GOAL_RESOLVED),
        *asker.rows("identity to identity, one port, layer by layer", ((*pair, "--port=8080") for pair in pairs)),
        *asker.rows("identity to identity, every port", pairs),
        *asker.rows("namespace to identity", from_namespaces),
        *asker.rows("zone to identity", from_zones),
        *asker.rows("anyone to identity", (("anyone", target) for _, target in few)),
        *asker.rows("identity to anyone", ((source, "anyone") for source, _ in few)),
    ]


def _identity(dice: random.Random, names: list[str]) -> str:
    return f"{dice.choice(names)}/service-{dice.randrange(estate.IDENTITIES):02}"


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks questions of a world, and takes the time."""

    loaded: Loaded
    effective: Effective
    parser: argparse.ArgumentParser

    def rows(self, what: str, questions: Iterable[tuple[str, ...]]) -> list[table.Row]:
        """The figures of one kind of question."""
        times = sorted(self.ask(question) for question in questions)
        median, slowest = statistics.median(times), times[int(len(times) * 0.99)]
        shown = f"{slowest * 1000:.0f} ms"
        return [
            table.Row(f"can-i, {what}: median of {len(times)}", f"{median * 1000:.1f} ms"),
            table.Row("the same, 99th of 100", shown, f"{GOAL * 1000:.0f} ms", slowest <= GOAL),
        ]

    def ask(self, question: tuple[str, ...]) -> float:
        """Seconds of processor time that the answer to one question took."""
        arguments = self.parser.parse_args(["can-i", *question])
        console = Console(io.StringIO(), io.StringIO(), {})
        started = time.process_time()
        can_i.answer(arguments, self.loaded, self.effective, console)
        return time.process_time() - started


if __name__ == "__main__":
    table.show("reasoning", rows())
