"""The admission table: Ringfence's webhook beside others, what it adds to a request of the API server, its memory.

All in one run, in rounds that alternate, so that what else the machine does falls on all alike: read the ratios.
``RINGFENCE_BENCH_REVIEWS`` says after how many reviews memory is looked at last (default 100,000).
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import load, peers, reviews, rig, servers, through, upstream
from bench.load import Figures, Question
from bench.reviews import Policies
from bench.servers import Running, Trust
from bench.table import Row
from e2e.cluster.errors import ClusterError
from e2e.goprogram.build import BuildError

CONCURRENCY: Final = (1, 8, 32)
#: Many short ones: what else the machine does changes within seconds.
ROUNDS: Final = 9
SECONDS: Final = 0.5
#: What there is to look up: 1,000 policies, 200 of them where the pods are.
POLICIES: Final = Policies(own=200, others=800)
FEW, MANY = Policies(own=5), Policies(own=5, others=4995)
REVIEWS: Final = (10_000, int(os.environ.get("RINGFENCE_BENCH_REVIEWS", "100000")))

#: Of the same server without work; of 5 policies' rate with 5,000; MiB; MiB more between the two looks at memory.
GOAL_SHARE: Final = 0.60
GOAL_INDEX: Final = 0.90
GOAL_MEMORY: Final = 100
GOAL_GROWTH: Final = 5
#: Beside the best of the other engines, at 8 at once: times the rate, share of the p99, share of the processor time.
GOAL_RATE, GOAL_P99, GOAL_CPU = 3.0, 1 / 5, 1 / 6

_NONE: Final = "the same server without work"
_OURS: Final = "ringfence"
_UPSTREAM: Final = "kubernetes' webhook"
_LESS: Final = "in Go; it judges Pod Security alone, by the label of the namespace: no policies, registries, audit"


@dataclass
class Contender:
    """A server, and its figures by (pod, concurrency)."""

    server: Running
    pods: tuple[str, ...] = ("good", "refused")
    figures: dict[tuple[str, int], Figures] = field(default_factory=dict)
    #: Reviews so far.
    done: int = 0

    def reach(self, question: Question, count: int) -> None:
        """Ask until so many have been answered in all."""
        if self.done < count:
            self.done += len(load.run(self.server, question, 8, reviews=count - self.done)[0])

    def round(self, questions: dict[str, Question], clients: int) -> None:
        """One turn."""
        for pod in self.pods:
            measured = load.run(self.server, questions[pod], clients, seconds=SECONDS)
            self.figures.setdefault((pod, clients), Figures()).add(*measured)
            self.done += len(measured[0])


def rows() -> list[Row]:
    """Measure; takes about five minutes."""
    good, refused = reviews.pod(), reviews.pod(good=False)
    questions = {
        "good": Question(reviews.review(good), load.ALLOWED),
        "refused": Question(reviews.review(refused), load.REFUSED),
    }
    trust = Trust.make()
    found = [Row("a pod in its review", f"{len(questions['good'].body) / 1000:.1f} KB, managedFields among it")]
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        plane = stack.enter_context(through.plane("bench-upstream", {upstream.LABEL: "restricted"}))
        contenders = {
            _NONE: Contender(stack.enter_context(servers.ringfence(trust, None)), ("good",)),
            _OURS: Contender(stack.enter_context(servers.ringfence(trust, POLICIES))),
        }
        try:
            reference = stack.enter_context(servers.kubernetes(trust, plane.kubeconfig, Path(place)))
            contenders[_UPSTREAM] = Contender(reference)
            found.append(Row(f"{_UPSTREAM} {upstream.version()}", _LESS))
        except (BuildError, ClusterError) as error:
            found.append(Row(_UPSTREAM, f"not built: {str(error).splitlines()[0]}"))
        others = peers.named()
        contenders |= {name: Contender(server) for name, server in others.items()}
        ours = contenders[_OURS]
        memory = [_memory(ours, questions["good"], REVIEWS[0])]
        for clients in CONCURRENCY:
            for number in range(ROUNDS):
                rig.say(f"  {clients} at once, round {number + 1} of {ROUNDS}")
                for each in contenders.values():
                    each.round(questions, clients)
        found += _direct(contenders)
        found += [Row(name, why) for name, why in peers.absent(others).items()]
        found += _beside(contenders, list(others))
        memory.append(_memory(ours, questions["good"], REVIEWS[1]))
        found += _memories(contenders, memory)
    found += _index(trust, questions["good"])
    return [*found, *through.rows(trust)]


def _direct(contenders: dict[str, Contender]) -> Iterator[Row]:
    for clients in CONCURRENCY:
        base = contenders[_NONE].figures["good", clients]
        for name, each in contenders.items():
            for pod in each.pods:
                figures = each.figures[pod, clients]
                share = figures.share(base)
                what = f"{clients} at once, {name}" + (f", a {pod} pod" if name != _NONE else "")
                cost = figures.cpu_per_thousand / base.cpu_per_thousand
                measured = f"{figures} ({share:.0%} of the rate, {cost:.1f} times the time)"
                if name == _OURS and pod == "good":
                    met = share >= GOAL_SHARE
                    yield Row(what, measured, f"≥ {GOAL_SHARE:.0%} of without work", met)
                else:
                    yield Row(what, measured if name != _NONE else str(figures))


def _beside(contenders: dict[str, Contender], others: list[str]) -> Iterator[Row]:
    """Ours at 8 at once, by Kubernetes' webhook and by the best of the other engines."""
    ours = contenders[_OURS].figures["good", 8]
    if _UPSTREAM in contenders:
        reference = contenders[_UPSTREAM].figures["good", 8]
        rate, p99 = ours.share(reference), ours.quantile(0.99) / reference.quantile(0.99)
        cpu = ours.cpu_per_thousand / reference.cpu_per_thousand
        what = "8 at once, a good pod: ringfence by kubernetes' webhook"
        yield Row(what, f"{rate:.2f} times the rate, {p99:.2f} times the p99, {cpu:.2f} times the processor time")
    for name in others:
        other = contenders[name].figures["good", 8]
        rate, p99 = ours.share(other), ours.quantile(0.99) / other.quantile(0.99)
        cpu = ours.cpu_per_thousand / other.cpu_per_thousand
        yield Row(f"    rate by {name}'s", f"{rate:.1f} times", f"≥ {GOAL_RATE:.0f} times", rate >= GOAL_RATE)
        yield Row(f"    p99 by {name}'s", f"{p99:.2f} times", f"≤ {GOAL_P99:.2f} times", p99 <= GOAL_P99)
        yield Row(f"    processor time by {name}'s", f"{cpu:.2f} times", f"≤ {GOAL_CPU:.2f} times", cpu <= GOAL_CPU)


def _memory(ours: Contender, question: Question, count: int) -> tuple[int, float]:
    """So many reviews in all since it was started, and its memory then in MiB."""
    rig.say(f"  memory after {count:,} reviews")
    ours.reach(question, count)
    return ours.done, load.memory(ours.server)


def _memories(contenders: dict[str, Contender], ours: list[tuple[int, float]]) -> Iterator[Row]:
    for done, size in ours:
        what = f"memory of ringfence's worker, {POLICIES.own + POLICIES.others:,} policies, after {done:,} reviews"
        yield Row(what, f"{size:.1f} MiB", f"≤ {GOAL_MEMORY} MiB", size <= GOAL_MEMORY)
    grown = ours[-1][1] - ours[0][1]
    yield Row("    grown meanwhile", f"{grown:.1f} MiB", f"≤ {GOAL_GROWTH} MiB", grown <= GOAL_GROWTH)
    for name, each in contenders.items():
        if name not in {_OURS, _NONE}:
            yield Row(f"memory of {name}", f"{load.memory(each.server):.0f} MiB")


def _index(trust: Trust, question: Question) -> Iterator[Row]:
    """Policies of other namespaces cost a review nothing."""
    few, many = Figures(), Figures()
    with servers.ringfence(trust, FEW) as small, servers.ringfence(trust, MANY) as large:
        for number in range(ROUNDS):
            rig.say(f"  5 and 5,000 policies, round {number + 1} of {ROUNDS}")
            few.add(*load.run(small, question, 8, seconds=SECONDS))
            many.add(*load.run(large, question, 8, seconds=SECONDS))
        size = load.memory(large)
    share = many.share(few)
    measured = (
        f"{many.rate:,.0f}/s beside {few.rate:,.0f}/s ({share:.0%}), {many.cpu_per_thousand:.2f} beside "
        f"{few.cpu_per_thousand:.2f} CPU s a 1,000; {size:.0f} MiB"
    )
    yield Row("8 at once, 5,000 policies loaded beside 5", measured, f"≥ {GOAL_INDEX:.0%}", share >= GOAL_INDEX)
