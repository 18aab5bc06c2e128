import pytest
from ringfence.controls.read_only_root import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, every_kind, secured, spec

FIELD = "securityContext.readOnlyRootFilesystem"


def test_true_passes() -> None:
    assert asked(CONTROL, spec(secured(readOnlyRootFilesystem=True))) == []


@pytest.mark.parametrize("container", [{}, {"securityContext": None}, secured(), secured(readOnlyRootFilesystem=False)])
def test_everything_else_is_refused(container: dict) -> None:
    assert asked(CONTROL, spec(container)) == [f"spec.containers[0].{FIELD}"]


def test_every_kind_of_container_is_judged() -> None:
    assert asked(CONTROL, every_kind({})) == [f"{each}.{FIELD}" for each in EVERY_KIND]


def test_pods_for_windows_are_left_alone() -> None:
    assert asked(CONTROL, spec({}, os={"name": "windows"})) == []
    assert asked(CONTROL, spec({}, os={"name": "Windows"})) != []
