import pytest
from ringfence.controls.privileged import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind(secured(privileged=True)))
    assert fields == [f"{each}.securityContext.privileged" for each in EVERY_KIND]


@pytest.mark.parametrize(
    "container", [{}, {"securityContext": None}, secured(), secured(privileged=False), secured(privileged=None)]
)
def test_unprivileged_passes(container: dict) -> None:
    assert found(CONTROL, spec(container)) == []
