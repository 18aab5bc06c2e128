import pytest
from ringfence.controls.host_path import CONTROL

from tests.unit.controls.samples import found, spec


def test_host_path_is_refused_wherever_it_stands() -> None:
    volumes = [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}}]
    assert found(CONTROL, spec(volumes=volumes)) == ["spec.volumes[1].hostPath"]


def test_an_empty_host_path_is_one() -> None:
    assert found(CONTROL, spec(volumes=[{"name": "a", "hostPath": {}}])) == ["spec.volumes[0].hostPath"]


@pytest.mark.parametrize(
    "volumes", [None, [], [{"name": "a", "hostPath": None}], [{"name": "a", "nfs": {"server": "x", "path": "/"}}]]
)
def test_others_pass(volumes: list | None) -> None:
    assert found(CONTROL, spec(volumes=volumes)) == []
