import pytest
from ringfence.controls.seccomp import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

OFF = {"seccompProfile": {"type": "Unconfined"}}


def test_pod_and_every_kind_of_container_are_judged() -> None:
    assert found(CONTROL, spec(securityContext=OFF)) == ["spec.securityContext.seccompProfile.type"]
    assert found(CONTROL, every_kind(secured(**OFF))) == [
        f"{e}.securityContext.seccompProfile.type" for e in EVERY_KIND
    ]


@pytest.mark.parametrize("type_", ["unconfined", "runtimedefault", "", None])
def test_what_is_not_exactly_one_of_the_two_is_refused(type_: str | None) -> None:
    assert found(CONTROL, spec(secured(seccompProfile={"type": type_})))


@pytest.mark.parametrize("type_", ["RuntimeDefault", "Localhost"])
def test_both_pass_and_so_does_nothing(type_: str) -> None:
    assert found(CONTROL, spec(secured(seccompProfile={"type": type_}))) == []
    assert found(CONTROL, spec({}, secured(seccompProfile=None))) == []


POD = "seccomp.security.alpha.kubernetes.io/pod"
FIRST = "container.seccomp.security.alpha.kubernetes.io/c0"


@pytest.mark.parametrize("value", ["unconfined", "", "RuntimeDefault", "runtime/default ", "localhost"])
@pytest.mark.parametrize("key", [POD, FIRST])
def test_before_1_19_the_annotations_are_judged_and_later_they_are_not(key: str, value: str) -> None:
    bad = spec(metadata={"annotations": {key: value}})
    assert found(CONTROL, bad, 18) == [f"metadata.annotations[{key}]"]
    assert found(CONTROL, bad, 19) == found(CONTROL, bad) == []


@pytest.mark.parametrize("value", ["runtime/default", "docker/default", "localhost/x", "localhost/"])
def test_annotations_that_name_a_filter_pass(value: str) -> None:
    assert found(CONTROL, spec(metadata={"annotations": {POD: value, FIRST: value}}), 0) == []


def test_annotations_of_containers_that_are_not_there_mean_nothing() -> None:
    stranger = "container.seccomp.security.alpha.kubernetes.io/other"
    assert found(CONTROL, spec(metadata={"annotations": {stranger: "unconfined"}}), 18) == []


def test_before_1_19_the_fields_are_not_judged() -> None:
    assert found(CONTROL, spec(secured(**OFF), securityContext=OFF), 18) == []
