import pytest
from ringfence.controls.proc_mount import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind(secured(procMount="Unmasked")))
    assert fields == [f"{each}.securityContext.procMount" for each in EVERY_KIND]


@pytest.mark.parametrize("value", ["unmasked", "default", "", "Default "])
def test_only_the_exact_name_passes(value: str) -> None:
    assert found(CONTROL, spec(secured(procMount=value)))


@pytest.mark.parametrize("value", ["Default", None])
def test_masked_passes(value: str | None) -> None:
    assert found(CONTROL, spec(secured(procMount=value))) == []


def test_it_leaves_user_namespaces_alone_since_1_35() -> None:
    inside = spec(secured(procMount="Unmasked"), hostUsers=False)
    field = ["spec.containers[0].securityContext.procMount"]
    assert [found(CONTROL, inside, version) for version in (0, 34, 35, None)] == [field, field, [], []]
