"""The policy runner with packets: it agrees where the rules are right, and finds each way of getting them wrong."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from e2e.cluster import debian
from e2e.enforcer import nft
from e2e.enforcer.model import NodeFacts, World
from e2e.judge.client import Judge
from e2e.netpol import checks, ground, run, state
from e2e.netpol.ground import FabricGround
from e2e.netpol.run import Outcome

pytestmark = pytest.mark.component

EVERY, FEW = 12, 20
"""One case in so many is run here, and fewer with rules that are wrong; ``python -m e2e.netpol`` runs the rest."""

Wrong = Callable[[World, NodeFacts], str]


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    debian.ensure(("nft", "ip"))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def outcome_of(judge: Judge, every: int) -> Outcome:
    with FabricGround() as fabric:
        fabric.become(state.initial())
        cases = judge.cases(fabric.places["z/c"].address)[::every]
        return run.run(fabric, judge, cases, lambda case, outcome: None)


def test_right_rules_agree_with_the_judge(judge: Judge) -> None:
    outcome = outcome_of(judge, EVERY)
    assert outcome.disagreements == []
    assert outcome.cases == 20
    assert min(outcome.probes.values()) > 0


def without(text: str, fragment: str) -> str:
    assert fragment in text
    return "\n".join(line for line in text.splitlines() if fragment not in line) + "\n"


WRONG: dict[str, Wrong] = {
    "no policies": lambda world, node: RENDER(replace(world, policies=()), node),
    "no egress": lambda world, node: without(RENDER(world, node), "jump egress"),
    "no ingress": lambda world, node: without(RENDER(world, node), "jump ingress"),
    "no SCTP": lambda world, node: RENDER(world, node).replace("sctp dport", "udplite dport"),
    "strangers are let in": lambda world, node: RENDER(world, NodeFacts(())),
    "a pod is forgotten": lambda world, node: RENDER(replace(world, pods=world.pods[1:]), node),
    "labels of namespaces are forgotten": lambda world, node: RENDER(replace(world, namespaces={}), node),
    "answers are dropped": lambda world, node: without(RENDER(world, node), "ct state established"),
}
RENDER = nft.render


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_found(judge: Judge, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(ground.nft, "render", WRONG[name])
    # What never answers is waited for: this is about finding it, not about how long a busy machine may take.
    monkeypatch.setattr("e2e.netpol.prober.PATIENCE_SECONDS", 0.2)
    assert outcome_of(judge, FEW).disagreements != []


def test_further_checks_hold() -> None:
    assert checks.failures() == []
