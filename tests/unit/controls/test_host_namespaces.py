import pytest
from ringfence.controls.host_namespaces import CONTROL

from tests.unit.controls.samples import found, spec


@pytest.mark.parametrize("field", ["hostNetwork", "hostPID", "hostIPC"])
def test_each_namespace_of_the_host_is_refused(field: str) -> None:
    assert found(CONTROL, spec(**{field: True})) == [f"spec.{field}"]


@pytest.mark.parametrize("value", [False, None])
def test_own_namespaces_pass(value: bool | None) -> None:
    assert found(CONTROL, spec(hostNetwork=value, hostPID=value, hostIPC=value)) == []


def test_all_are_named_at_once() -> None:
    assert len(found(CONTROL, spec(hostNetwork=True, hostPID=True, hostIPC=True))) == 3
