import pytest
from ringfence.controls.capabilities_restricted import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind({}))
    assert fields == [f"{each}.securityContext.capabilities.drop" for each in EVERY_KIND]


@pytest.mark.parametrize("drop", [None, [], ["all"], ["CAP_ALL"], ["NET_RAW"], ["ALL\n"]])
def test_all_must_be_dropped_by_its_exact_name(drop: list[str] | None) -> None:
    assert found(CONTROL, spec(secured(capabilities={"drop": drop}))) == [
        "spec.containers[0].securityContext.capabilities.drop"
    ]


def test_one_capability_may_come_back() -> None:
    assert found(CONTROL, spec(secured(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}))) == []


@pytest.mark.parametrize("name", ["CHOWN", "net_bind_service", "NET_ADMIN"])
def test_no_other_may(name: str) -> None:
    container = secured(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE", name]})
    assert found(CONTROL, spec(container)) == ["spec.containers[0].securityContext.capabilities.add"]


def test_windows_has_no_capabilities_but_linux_said_so_does() -> None:
    assert found(CONTROL, spec(os={"name": "windows"})) == []
    assert found(CONTROL, spec(os={"name": "linux"})) != []


def test_it_came_with_1_22_and_leaves_windows_alone_since_1_25() -> None:
    linux, windows = spec(), spec(os={"name": "windows"})
    field = ["spec.containers[0].securityContext.capabilities.drop"]
    assert [found(CONTROL, linux, version) for version in (21, 22, 25)] == [[], field, field]
    assert [found(CONTROL, windows, version) for version in (21, 22, 24, 25)] == [[], field, field, []]
