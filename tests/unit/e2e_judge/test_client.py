from collections.abc import Iterator

import pytest

from e2e.goprogram.lines import JudgeError
from e2e.judge.client import Judge, Pod, Traffic

POD = Pod("x", "a", {}, "10.0.0.1")
DENY = {"metadata": {"namespace": "x", "name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def test_answers_come_in_the_order_of_the_questions(judge: Judge) -> None:
    questions = [Traffic("192.0.2.1", POD.key, 80), Traffic(POD.key, "192.0.2.1", 80)]
    assert [each.allowed for each in judge.verdicts({"x": {}}, [POD], [DENY], questions)] == [False, True]


def test_an_address_of_a_pod_means_the_pod(judge: Judge) -> None:
    (verdict,) = judge.verdicts({"x": {}}, [POD], [DENY], [Traffic("192.0.2.1", POD.ip, 80)])
    assert not verdict.ingress


@pytest.mark.parametrize(
    ("namespaces", "pods", "question", "message"),
    [
        ({"x": {}}, [POD], Traffic("x/none", POD.key, 80), r"traffic\[0\]\.s: \"x/none\" is neither a pod"),
        ({"x": {}}, [POD], Traffic(POD.key, "10.0.0", 80), r"traffic\[0\]\.d: \"10\.0\.0\" is neither"),
        ({}, [POD], Traffic(POD.key, POD.key, 80), r"pods\[0\]\.namespace: \"x\" is not among namespaces"),
        ({"x": {}}, [Pod("x", "a", {}, "nowhere")], Traffic(POD.key, POD.key, 80), r"pods\[0\]\.ip"),
        ({"x": {}}, [POD, POD], Traffic(POD.key, POD.key, 80), r"pods\[1\]: x/a is there twice"),
        ({"x": {}}, [POD, Pod("x", "b", {}, POD.ip)], Traffic(POD.key, POD.key, 80), "belongs to another pod"),
    ],
    ids=["unknown source", "unknown destination", "unknown namespace", "bad address", "twice", "same address"],
)
def test_a_bad_question_is_an_error_that_names_the_field_and_the_judge_goes_on(
    judge: Judge, namespaces: dict[str, dict[str, str]], pods: list[Pod], question: Traffic, message: str
) -> None:
    with pytest.raises(JudgeError, match=message):
        judge.verdicts(namespaces, pods, [], [question])
    assert judge.verdicts({"x": {}}, [POD], [], [Traffic("192.0.2.1", POD.key, 80)])[0].allowed


def test_a_judge_that_is_not_running_says_so() -> None:
    with pytest.raises(JudgeError, match="with statement"):
        Judge().cases("10.0.0.9")


def test_the_generated_cases_are_those_of_the_pinned_version(judge: Judge) -> None:
    cases = judge.cases("10.0.0.9")
    assert (len(cases), sum(len(case.steps) for case in cases)) == (230, 256)
    blocks = [case for case in cases if "peer-ipblock" in case.tags]
    assert any("10.0.0." in str(step.actions) for case in blocks for step in case.steps)
