"""Run cases on a ground, compare what got through with what should have, and count."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from e2e.judge.client import Case, Judge
from e2e.netpol import expect, state
from e2e.netpol.ground import Ground
from e2e.netpol.prober import Attempt

RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A probe that did not do what the judge said. ``step`` counts from 1."""

    case: str
    step: int
    attempt: Attempt
    passed: bool


@dataclass(slots=True)
class Outcome:
    """What came of a run. ``late`` counts steps whose change was not in force at the first probe, on a cluster."""

    ground: str
    cases: int = 0
    steps: int = 0
    probes: Counter[str] = field(default_factory=Counter)
    allowed: int = 0
    late: int = 0
    seconds: float = 0.0
    disagreements: list[Disagreement] = field(default_factory=list)


def spread(cases: Sequence[Case]) -> list[Case]:
    """Return a fixed selection: the first case of each combination of tags, so that every kind of case is there."""
    first: dict[tuple[str, ...], Case] = {}
    for case in cases:
        first.setdefault(case.tags, case)
    return list(first.values())


def run(ground: Ground, judge: Judge, cases: Iterable[Case], done: Callable[[Case, Outcome], None]) -> Outcome:
    """Run ``cases`` one after the other; ``done`` is called after each."""
    outcome = Outcome(ground.title)
    started = time.monotonic()
    for case in cases:
        now = state.initial()
        for number, step in enumerate(case.steps, 1):
            for action in step.actions:
                now = state.after(now, action)
            ground.become(now)
            _probe(ground, judge, now, outcome, (case.description, number))
            outcome.steps += 1
        outcome.cases += 1
        outcome.seconds = time.monotonic() - started
        done(case, outcome)
    return outcome


def _probe(ground: Ground, judge: Judge, now: state.State, outcome: Outcome, where: tuple[str, int]) -> None:
    tried = expect.attempts(ground.places.values())
    wanted = expect.expected(judge, now, ground.places, tried)
    deadline = time.monotonic() + ground.patience
    wrong = ground.reached(tried, wanted) ^ wanted
    outcome.late += bool(wrong) and ground.patience > 0
    while wrong and time.monotonic() < deadline:
        time.sleep(RETRY_SECONDS)
        wrong = ground.reached(tried, wanted) ^ wanted
    outcome.probes.update(each.protocol for each in tried)
    outcome.allowed += len(wanted)
    for each in sorted(wrong, key=str):
        outcome.disagreements.append(Disagreement(*where, each, each not in wanted))
