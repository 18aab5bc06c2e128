import pytest
from ringfence.controls.proc_mount_restricted import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind(secured(procMount="Unmasked")))
    assert fields == [f"{each}.securityContext.procMount" for each in EVERY_KIND]


@pytest.mark.parametrize("users", [True, False, None])
def test_user_namespaces_make_no_difference(users: bool | None) -> None:
    assert found(CONTROL, spec(secured(procMount="Unmasked"), hostUsers=users))
    assert found(CONTROL, spec(secured(procMount="Default"), hostUsers=users)) == []


def test_it_came_with_1_35() -> None:
    assert found(CONTROL, spec(secured(procMount="Unmasked")), 34) == []
