import pytest
from ringfence.controls.privilege_escalation import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


@pytest.mark.parametrize(
    "container", [{}, secured(), secured(allowPrivilegeEscalation=None), secured(allowPrivilegeEscalation=True)]
)
def test_every_kind_of_container_must_say_false(container: dict) -> None:
    fields = found(CONTROL, every_kind(container))
    assert fields == [f"{each}.securityContext.allowPrivilegeEscalation" for each in EVERY_KIND]


def test_false_passes() -> None:
    assert found(CONTROL, every_kind(secured(allowPrivilegeEscalation=False))) == []


def test_windows_is_left_alone_by_its_exact_name() -> None:
    assert found(CONTROL, spec(os={"name": "windows"})) == []
    assert found(CONTROL, spec(os={"name": "Windows"})) != []


def test_it_came_with_1_8_and_leaves_windows_alone_since_1_25() -> None:
    linux, windows = spec(), spec(os={"name": "windows"})
    field = ["spec.containers[0].securityContext.allowPrivilegeEscalation"]
    assert [found(CONTROL, linux, version) for version in (7, 8, 25)] == [[], field, field]
    assert [found(CONTROL, windows, version) for version in (7, 8, 24, 25)] == [[], field, field, []]
