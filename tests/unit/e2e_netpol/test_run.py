"""The loop and its counts, on a ground that is a dictionary. With packets: tests/component/test_netpol.py."""

from collections.abc import Collection, Iterator, Mapping
from typing import Self

import pytest

from e2e.enforcer.model import Protocol
from e2e.judge.client import Action, Case, Judge, Probe, Step
from e2e.netpol import report, run, state
from e2e.netpol.expect import Kind, Place
from e2e.netpol.prober import Attempt
from e2e.netpol.run import Outcome
from e2e.netpol.state import State

PLACES = {
    each.name: each
    for each in (
        Place("x/a", Kind.POD, "10.0.0.1", "node"),
        Place("y/b", Kind.POD, "10.0.0.2", "node"),
        Place("node", Kind.NODE, "192.0.2.1", "node"),
        Place("stranger", Kind.STRANGER, "10.0.0.3", "node"),
    )
}
DENY = {"metadata": {"namespace": "x", "name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}
CASE = Case(
    "deny all to x", ("deny-all",), (Step((Action("createPolicy", "x", "deny", {}, DENY),), Probe(None, None)),)
)


class Paper:
    """Reaches what it is expected to, but for ``wrong``, which goes the other way in the first ``tries`` probes."""

    title = "paper"
    places: Mapping[str, Place] = PLACES

    def __init__(self, wrong: set[Attempt], tries: int = 1000, patience: float = 0.0) -> None:
        self.wrong, self.tries, self.patience = wrong, tries, patience
        self.became: list[State] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def become(self, wanted: State) -> None:
        self.became.append(wanted)

    def reached(self, tried: Collection[Attempt], expected: Collection[Attempt]) -> set[Attempt]:
        self.tries -= 1
        self.expected = set(expected)
        return self.expected ^ self.wrong if self.tries >= 0 else self.expected


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def outcome_of(ground: Paper, judge: Judge) -> Outcome:
    return run.run(ground, judge, [CASE], lambda case, outcome: None)


def attempt(source: str, destination: str) -> Attempt:
    return Attempt(source, destination, 80, Protocol.TCP)


def test_what_is_expected_follows_the_judge_and_what_holds_anyway(judge: Judge) -> None:
    ground = Paper(set())
    outcome = outcome_of(ground, judge)
    open_pairs = {(each.source, each.destination) for each in ground.expected}
    assert open_pairs == {
        ("x/a", "x/a"),
        ("y/b", "y/b"),
        ("x/a", "y/b"),
        ("node", "x/a"),
        ("node", "y/b"),
        ("x/a", "node"),
        ("y/b", "node"),
        ("stranger", "stranger"),
    }
    assert [len(each.policies) for each in ground.became] == [1]
    assert (outcome.cases, outcome.steps, outcome.disagreements) == (1, 1, [])
    # 4 between pods, 4 between them and the node, 6 with the stranger (5 with pods and itself, 1 to the node); 2 ports.
    assert outcome.probes == dict.fromkeys(Protocol, (4 + 4 + 6) * 2)


@pytest.mark.parametrize(
    ("wrong", "passed"), [(attempt("y/b", "x/a"), True), (attempt("x/a", "y/b"), False)], ids=["open", "closed"]
)
def test_a_probe_that_goes_against_the_judge_is_a_disagreement(judge: Judge, wrong: Attempt, passed: bool) -> None:
    outcome = outcome_of(Paper({wrong}), judge)
    (found,) = outcome.disagreements
    assert (found.case, found.step, found.attempt, found.passed) == (CASE.description, 1, wrong, passed)
    text = report.disagreements(outcome)
    assert wrong.source in text
    assert ("passed" if passed else "blocked") in text


def test_on_a_cluster_a_change_may_take_a_moment_and_that_is_counted(judge: Judge) -> None:
    wrong = {attempt("y/b", "x/a")}
    late = outcome_of(Paper(wrong, tries=2, patience=5.0), judge)
    assert (late.late, late.disagreements) == (1, [])
    never = outcome_of(Paper(wrong, patience=0.3), judge)
    assert (never.late, len(never.disagreements)) == (1, 1)


def test_the_spread_is_fixed_and_has_every_kind_of_case(judge: Judge) -> None:
    cases = judge.cases("10.0.0.9")
    chosen = run.spread(cases)
    assert len(chosen) == 151
    assert {case.tags for case in chosen} == {case.tags for case in cases}
    assert state.initial().pods


def test_the_summary_counts(judge: Judge) -> None:
    head, line = report.summary([outcome_of(Paper({attempt("y/b", "x/a")}), judge)]).splitlines()
    assert head.split()[:3] == ["ground", "cases", "steps"]
    assert line.split()[:3] == ["paper", "1", "1"]
    assert line.split()[-2] == "1"
