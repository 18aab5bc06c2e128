"""The judge answers questions as asked, and says what is wrong with one that is none."""

from collections.abc import Iterator

import pytest

from e2e.goprogram.lines import JudgeError
from e2e.podsecurity.client import Decision, Judge, Standard, completed

POD = {"metadata": {"name": "p"}, "spec": {"hostPID": True, "containers": [{"name": "c"}]}}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def test_answers_come_by_standard_and_then_by_pod(judge: Judge) -> None:
    good = {"spec": {"containers": [{"name": "c"}]}}
    answers = judge.evaluate([Standard("privileged"), Standard("baseline", 0)], [good, POD])
    assert [[[each.id for each in found] for found in per_pod] for per_pod in answers] == [
        [[], []],
        [[], ["hostNamespaces"]],
    ]


def test_a_decision_has_kubernetes_message(judge: Judge) -> None:
    said = judge.admit(Standard("baseline", 31), POD)
    assert not said.allowed
    assert 'violates PodSecurity "baseline:v1.31": host namespaces (hostPID=true)' in said.message
    assert judge.admit(Standard("baseline", 31), POD, POD) == Decision(True, "")


@pytest.mark.parametrize("standard", [Standard("strict"), Standard("baseline", -1)])
def test_a_bad_question_is_an_error_and_the_judge_goes_on(judge: Judge, standard: Standard) -> None:
    with pytest.raises(JudgeError, match=r"level \"strict\"|version \"v1\.-1\""):
        judge.evaluate([standard], [POD])
    assert judge.evaluate([Standard("privileged")], [POD]) == [[()]]


def test_only_a_volume_without_a_source_becomes_an_empty_dir() -> None:
    volumes = [{"name": "a"}, {"name": "b", "nfs": None}, {"name": "c", "nfs": {}}]
    assert completed({"spec": {"volumes": volumes}})["spec"]["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "nfs": None, "emptyDir": {}},
        {"name": "c", "nfs": {}},
    ]
