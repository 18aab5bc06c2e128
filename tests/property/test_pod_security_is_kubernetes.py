"""Ringfence's Pod Security controls are Kubernetes' own, at every version that there has been.

Three judges, all of them from the Go module ``k8s.io/pod-security-admission`` (e2e/podsecurity): its list of checks,
the pods that it is tested with, and its policies over pods that nobody thought of.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.controls import evaluate, pod, registry, templates
from ringfence.controls.evaluate import Context
from ringfence.controls.pod import Subject
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox
from ringfence.model.resources import NEWEST_POD_SECURITY, Mode, PodSecurityLevel
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment, Namespace

from e2e.podsecurity import fixtures
from e2e.podsecurity.client import Judge, Standard
from e2e.podsecurity.fixtures import Fixture
from tests.property.pods import changes, pods

#: `make soak` tries thousands of pods.
pytestmark = pytest.mark.timeout(3600)

LEVELS = ("baseline", "restricted")
STANDARDS = [Standard(level, minor) for level in LEVELS for minor in (None, *range(NEWEST_POD_SECURITY + 1))]
#: Those at which some control took another form, and the newest by its name.
CHANGED = [
    Standard(level, minor)
    for level in LEVELS
    for minor in (None, *sorted({form.since for each in registry.CONTROLS for form in (each, *each.before)}))
]
REFS = tuple(RuleRef("SecurityPolicy", "shop", name, "admission") for name in "ab")
#: Every workload that has pods, as the fields that lead to their template.
WORKLOADS = {key: path for key, path in templates.TEMPLATES.items() if path}

standards = st.sampled_from(STANDARDS)


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


@pytest.fixture(scope="module")
def tally(summary: Callable[[str], None]) -> Iterator[Counter[str]]:
    counted: Counter[str] = Counter()
    yield counted
    for what, cases in counted.items():
        summary(f"against the policies of Kubernetes, {what}: {cases} cases")


@pytest.fixture(scope="module")
def known() -> list[Fixture]:
    return fixtures.load()


def context(*asked: Standard) -> Context:
    """An enforced namespace with a policy for each standard."""
    admission = tuple(
        AdmissionRequirement(LabelBox(), PodSecurityLevel(each.level), Mode.ENFORCE, ref, each.minor)
        for each, ref in zip(asked, REFS, strict=False)
    )
    accounts = (("default", "default"),)
    policy = EffectivePolicy("shop", Enrolment.ENFORCE, True, accounts, admission=admission)
    return Context(Namespace.of("shop", {"ringfence.dev/enroll": "enforce"}), policy, 0.0)


def by_policies(violations: tuple[Violation, ...]) -> list[Violation]:
    """Without what the enrolment itself asks for at every level."""
    return [each for each in violations if each.standard]


def checks(violations: tuple[Violation, ...]) -> set[str]:
    """The ids of Kubernetes of what policies refuse."""
    return {registry.KUBERNETES[each.control] for each in by_policies(violations)}


def workload(group: str, kind: str, path: tuple[str, ...], template: Mapping[str, Any]) -> dict[str, Any]:
    """A workload of this kind whose pods are these."""
    obj: Any = {"metadata": template.get("metadata", {}), "spec": template["spec"]}
    for field in reversed(path):
        obj = {field: obj}
    version = f"{group}/v1" if group else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, **obj}


def test_every_check_is_a_control_with_the_same_level_history_and_precedence(judge: Judge) -> None:
    ours = {
        each.kubernetes: (
            str(each.level),
            tuple(sorted([*(revision.since for revision in each.before), each.since])),
            registry.KUBERNETES.get(each.supersedes),
        )
        for each in registry.CONTROLS
        if each.kubernetes
    }
    theirs = {}
    for check in judge.checks():
        overridden = {each for form in check.overrides for each in form}
        assert len(overridden) <= 1
        # Each form overrides what the others do, so one word in the registry says it.
        assert all(set(form) == overridden for form in check.overrides)
        theirs[check.id] = (check.level, check.since, next(iter(overridden), None))
    assert ours == theirs
    assert len(ours) == 19
    assert max(since for _, history, _ in theirs.values() for since in history) <= NEWEST_POD_SECURITY


def test_every_fixture_gets_kubernetes_verdict_at_its_level_and_version(
    judge: Judge, known: list[Fixture], summary: Callable[[str], None]
) -> None:
    start = time.monotonic()
    assert len(known) > 4200
    lower = {each.kubernetes.lower(): each.kubernetes for each in registry.CONTROLS}
    disagreements = []
    by_standard: dict[Standard, list[Fixture]] = {}
    for each in known:
        by_standard.setdefault(each.standard, []).append(each)
    for standard, cases in by_standard.items():
        where = context(standard)
        (answers,) = judge.evaluate([standard], [each.pod for each in cases])
        for case, answer in zip(cases, answers, strict=True):
            outcome = evaluate.admit({"apiVersion": "v1", "kind": "Pod", **case.pod}, where)
            found = checks(outcome.violations)
            named = not case.passes and _named(lower[case.check], standard)
            if (not found) != case.passes or found != {each.id for each in answer} or (named and named not in found):
                disagreements.append(f"{case.path}: Kubernetes {answer}; Ringfence {outcome.violations}")
    assert not disagreements, "\n".join(disagreements)
    summary(f"fixtures of Kubernetes, each at its version: {len(known)} cases, {time.monotonic() - start:.1f} s")


def _named(check: str, standard: Standard) -> str:
    """The check that a fixture's name means: where a stricter one overrides it, that one speaks."""
    level = PodSecurityLevel(standard.level)
    active = {each.kubernetes for each in registry.active(level, version=standard.minor)}
    stricter = {registry.KUBERNETES[weak]: registry.KUBERNETES[strong] for strong, weak in registry.WEAKER.items()}
    return check if check in active else stricter[check]


def test_every_fixture_breaks_the_same_checks_at_every_version(
    judge: Judge, known: list[Fixture], summary: Callable[[str], None]
) -> None:
    start = time.monotonic()
    distinct = list({id(each.pod): each.pod for each in known}.values())
    subjects = [Subject(pod.of(each)) for each in distinct]
    disagreements = []
    for standard, answers in zip(STANDARDS, judge.evaluate(STANDARDS, distinct), strict=True):
        active = registry.active(PodSecurityLevel(standard.level), version=standard.minor)
        for obj, subject, answer in zip(distinct, subjects, answers, strict=True):
            found = {each.kubernetes: each.reason for each in active if any(each.check(subject))}
            reasons = {each.id: each.reason for each in answer}
            # One profile or several: the same reason in Kubernetes' grammar.
            if found.keys() != reasons.keys() or any(
                found[i] not in {r, r.removesuffix("s")} for i, r in reasons.items()
            ):
                disagreements.append(f"{obj['metadata']} at {standard}: Kubernetes {answer}; Ringfence {found}")
    assert not disagreements, "\n".join(disagreements)
    cases = len(distinct) * len(STANDARDS)
    summary(f"fixtures of Kubernetes at every version: {cases} cases, {time.monotonic() - start:.1f} s")


@pytest.mark.parametrize(("kind", "path"), WORKLOADS.items(), ids="-".join)
def test_a_workload_is_judged_as_its_pods(known: list[Fixture], kind: tuple[str, str], path: tuple[str, ...]) -> None:
    newest = [each for each in known if each.standard.minor == NEWEST_POD_SECURITY]
    assert len(newest) > 100
    for case in newest:
        where = context(case.standard)
        alone = evaluate.admit({"apiVersion": "v1", "kind": "Pod", **case.pod}, where)
        within = evaluate.admit(workload(*kind, path, case.pod), where)
        assert [(each.control, each.field) for each in by_policies(within.violations)] == [
            (each.control, f"{templates.prefix(path)}{each.field}") for each in by_policies(alone.violations)
        ]


@given(st.lists(pods, min_size=1, max_size=4))
def test_pods_that_nobody_thought_of_break_the_same_checks(
    judge: Judge, tally: Counter[str], made: list[dict[str, Any]]
) -> None:
    subjects = [Subject(pod.of(each)) for each in made]
    tally["random pods at each version that changed something"] += len(CHANGED) * len(made)
    for standard, answers in zip(CHANGED, judge.evaluate(CHANGED, made), strict=True):
        active = registry.active(PodSecurityLevel(standard.level), version=standard.minor)
        for subject, answer in zip(subjects, answers, strict=True):
            found = {each.kubernetes for each in active if any(each.check(subject))}
            assert found == {each.id for each in answer}, str(standard)


@given(pods, standards)
def test_admission_as_a_whole_answers_as_kubernetes_does(
    judge: Judge, tally: Counter[str], made: dict[str, Any], standard: Standard
) -> None:
    tally["random pods, admission as a whole"] += 1
    theirs = judge.admit(standard, made)
    ours = by_policies(evaluate.create(pod.of(made), context(standard)).violations)
    assert theirs.allowed == (not ours)
    for each in ours:
        assert each.standard == str(standard)
        assert each.reason in theirs.message


@given(changes(), standards)
def test_an_update_is_refused_for_what_it_brings(
    judge: Judge, tally: Counter[str], change: tuple[dict[str, Any], dict[str, Any]], standard: Standard
) -> None:
    """Kubernetes judges the whole new pod, but only if an image changes or a container comes; Ringfence the change."""
    tally["random changes of pods"] += 1
    old, new = change
    theirs = judge.admit(standard, new, old)
    ((before, after),) = judge.evaluate([standard], [old, new])
    ours = checks(evaluate.update(pod.of(new), pod.of(old), context(standard)).violations)
    had, has = ({each.id for each in found} for found in (before, after))
    assert has - had <= ours <= has
    if not theirs.allowed and not had:
        assert ours
    if ours and theirs.allowed:
        assert judge.admit(standard, new) != theirs, "refused what Kubernetes lets in whole"


@given(pods, standards, standards)
def test_two_requirements_ask_for_what_each_asks(made: dict[str, Any], one: Standard, other: Standard) -> None:
    """A namespace that asks for more, or for another version, loosens nothing of the floor, whichever comes first."""
    decoded = pod.of(made)

    def fields(*asked: Standard) -> set[str]:
        return {each.field for each in by_policies(evaluate.create(decoded, context(*asked)).violations)}

    together = fields(one, other)
    assert together == fields(other, one) == fields(one) | fields(other)
