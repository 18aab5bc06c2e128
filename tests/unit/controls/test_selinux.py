import pytest
from ringfence.controls.selinux import CONTROL, TYPES

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_pod_and_every_kind_of_container_are_judged() -> None:
    bad = {"seLinuxOptions": {"type": "spc_t"}}
    assert found(CONTROL, spec(securityContext=bad)) == ["spec.securityContext.seLinuxOptions.type"]
    assert found(CONTROL, every_kind(secured(**bad))) == [
        f"{e}.securityContext.seLinuxOptions.type" for e in EVERY_KIND
    ]


@pytest.mark.parametrize("type_", [*sorted(TYPES), "", None])
def test_types_for_containers_pass(type_: str | None) -> None:
    assert found(CONTROL, spec(secured(seLinuxOptions={"type": type_}))) == []


@pytest.mark.parametrize("field", ["user", "role"])
def test_user_and_role_are_refused_unless_empty(field: str) -> None:
    assert found(CONTROL, spec(secured(seLinuxOptions={field: "x"}))) == [
        f"spec.containers[0].securityContext.seLinuxOptions.{field}"
    ]
    assert found(CONTROL, spec(secured(seLinuxOptions={field: ""}))) == []


def test_level_is_free() -> None:
    assert found(CONTROL, spec(secured(seLinuxOptions={"level": "s0:c1"}))) == []


def test_container_engine_t_came_with_1_31() -> None:
    engine = spec(secured(seLinuxOptions={"type": "container_engine_t"}))
    assert found(CONTROL, engine, 30) == ["spec.containers[0].securityContext.seLinuxOptions.type"]
    assert found(CONTROL, engine, 31) == []
    assert found(CONTROL, spec(secured(seLinuxOptions={"type": "container_t"})), 0) == []
