"""What injection never does to a pod, whatever the pod: break a standard, lose a field, or change it a second time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from ringfence.inject import check
from ringfence.inject import pods as injecting
from ringfence.model.resources import NEWEST_POD_SECURITY

from e2e.podsecurity import fixtures
from e2e.podsecurity.client import Judge, Standard
from tests.property.pods import pods
from tests.unit.inject.making import HOW

#: `make soak` tries thousands of pods.
pytestmark = pytest.mark.timeout(3600)

STANDARDS = [
    Standard(level, minor) for level in ("baseline", "restricted") for minor in (None, 19, 25, NEWEST_POD_SECURITY)
]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with Judge() as running:
        yield running


def injected(pod: dict[str, Any], *, fill: bool = True) -> dict[str, Any]:
    first, _ = injecting.users(pod.get("spec") or {})
    return dict(injecting.injected(pod, HOW, first, fill=fill))


@given(obj=pods)
def test_no_pod_breaks_a_check_of_kubernetes_that_it_passed_before(judge: Judge, obj: dict[str, Any]) -> None:
    before, after = (
        [{each.id for each in found} for found, *_ in judge.evaluate(STANDARDS, [pod])] for pod in (obj, injected(obj))
    )
    for standard, one, other in zip(STANDARDS, before, after, strict=True):
        assert other <= one, standard


@given(obj=pods)
def test_twice_is_once_for_any_pod(obj: dict[str, Any]) -> None:
    for fill in (True, False):
        once = injected(obj, fill=fill)
        assert injected(once, fill=fill) == once
        if injecting.has_place(obj["spec"]) and not injecting.occupied(obj["spec"]):
            assert {each.control for each in check.problems(once, HOW)} <= {check.NAMES}


def test_every_pod_of_kubernetes_own_tests_stays_good(judge: Judge, summary: Callable[[str], None]) -> None:
    tried = 0
    for standard in STANDARDS:
        good = [each.pod for each in fixtures.load() if each.passes and str(each.standard) == str(standard)]
        (found,) = judge.evaluate([standard], [injected(each) for each in good])
        assert [each for each in found if each] == []
        tried += len(good)
    assert tried >= 90
    summary(f"pods of Kubernetes' own tests that pass with their proxy: {tried}")
