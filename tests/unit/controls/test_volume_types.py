import pytest
from ringfence.controls.volume_types import ALLOWED, CONTROL

from tests.unit.controls.samples import found, spec


@pytest.mark.parametrize("source", sorted(ALLOWED))
def test_the_kinds_of_the_list_pass(source: str) -> None:
    assert found(CONTROL, spec(volumes=[{"name": "a", source: {}}])) == []


@pytest.mark.parametrize("source", ["hostPath", "nfs", "iscsi", "gitRepo", "glusterfs", "somethingNew", "HostPath"])
def test_others_are_refused_also_those_that_nobody_knows_yet(source: str) -> None:
    assert found(CONTROL, spec(volumes=[{"name": "a", source: {}}])) == [f"spec.volumes[0].{source}"]


def test_null_is_absent_and_a_second_source_is_seen() -> None:
    assert found(CONTROL, spec(volumes=[{"name": "a", "emptyDir": {}, "hostPath": None}])) == []
    assert found(CONTROL, spec(volumes=[{"name": "a", "emptyDir": {}, "hostPath": {}}])) == ["spec.volumes[0].hostPath"]


@pytest.mark.parametrize("sources", [{}, {"hostPath": None}])
def test_a_volume_without_a_source_will_be_an_empty_dir(sources: dict) -> None:
    assert found(CONTROL, spec(volumes=[{"name": "a", **sources}])) == []


def test_a_volume_without_a_name_is_no_accident() -> None:
    assert found(CONTROL, spec(volumes=[{"nfs": {}}])) == ["spec.volumes[0].nfs"]
