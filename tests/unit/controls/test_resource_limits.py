import pytest
from ringfence.controls.resource_limits import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec


def limits(**quantities: object) -> dict:
    return {"resources": {"limits": quantities}}


@pytest.mark.parametrize("quantity", ["1", "100m", "0.5", ".5", "1e3", 1, 0.5, "1Gi"])
def test_a_limit_passes(quantity: object) -> None:
    assert asked(CONTROL, spec(limits(memory=quantity)), "memory") == []


@pytest.mark.parametrize("quantity", ["0", "0m", "0.0", "0Gi", "000", "0e9", 0, 0.0, "", "none"])
def test_zero_is_no_limit(quantity: object) -> None:
    assert asked(CONTROL, spec(limits(memory=quantity)), "memory") == ["spec.containers[0].resources.limits.memory"]


@pytest.mark.parametrize("container", [{}, {"resources": None}, {"resources": {}}, {"resources": {"limits": None}}])
def test_no_limit_is_refused(container: dict) -> None:
    assert asked(CONTROL, spec(container), "memory") == ["spec.containers[0].resources.limits.memory"]


def test_a_request_is_no_limit() -> None:
    assert asked(CONTROL, spec({"resources": {"requests": {"cpu": "1"}}}), "cpu") == [
        "spec.containers[0].resources.limits.cpu"
    ]


def test_each_resource_that_is_asked_for_is_named() -> None:
    assert asked(CONTROL, spec(limits(cpu="1")), "cpu", "ephemeral-storage", "memory") == [
        "spec.containers[0].resources.limits.ephemeral-storage",
        "spec.containers[0].resources.limits.memory",
    ]


def test_a_limit_of_the_pod_is_one_for_all() -> None:
    assert asked(CONTROL, spec({}, {}, resources={"limits": {"memory": "1Gi"}}), "memory") == []
    assert len(asked(CONTROL, spec({}, {}, resources={"limits": {"memory": "0"}}), "memory")) == 2


def test_every_kind_of_container_that_can_have_limits_is_judged() -> None:
    expected = [f"{each}.resources.limits.cpu" for each in EVERY_KIND if "ephemeral" not in each]
    assert asked(CONTROL, every_kind({}), "cpu") == expected


def test_says_what_was_found() -> None:
    messages = [each.message for each in complaints(CONTROL, spec({}, limits(cpu="0")), "cpu")]
    assert messages == ['is not set for container "c0"', 'is "0", which means none for container "c1"']
