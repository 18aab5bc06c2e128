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
