import pytest
from ringfence.controls.host_process import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

HOST = {"windowsOptions": {"hostProcess": True}}


def test_pod_and_every_kind_of_container_are_judged() -> None:
    assert found(CONTROL, spec(securityContext=HOST)) == ["spec.securityContext.windowsOptions.hostProcess"]
    fields = found(CONTROL, every_kind(secured(**HOST)))
    assert fields == [f"{each}.securityContext.windowsOptions.hostProcess" for each in EVERY_KIND]


def test_a_pod_for_linux_is_judged_too() -> None:
    assert found(CONTROL, spec(secured(**HOST), os={"name": "linux"}))


@pytest.mark.parametrize("options", [None, {}, {"hostProcess": False}, {"hostProcess": None}])
def test_others_pass(options: dict | None) -> None:
    assert found(CONTROL, spec(secured(windowsOptions=options), securityContext={"windowsOptions": options})) == []
