import pytest
from ringfence.controls.capabilities import ALLOWED, CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def added(*names: str) -> dict:
    return secured(capabilities={"add": list(names)})


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind(added("NET_ADMIN")))
    assert fields == [f"{each}.securityContext.capabilities.add" for each in EVERY_KIND]


@pytest.mark.parametrize(
    "name", ["NET_RAW", "SYS_ADMIN", "ALL", "all", "net_admin", "chown", "CAP_CHOWN", "CHOWN ", "CHOWN\n", ""]
)
def test_only_the_exact_names_of_the_defaults_pass(name: str) -> None:
    assert found(CONTROL, spec(added(name)))


def test_the_defaults_pass() -> None:
    assert found(CONTROL, spec(added(*ALLOWED))) == []


@pytest.mark.parametrize(
    "container", [{}, secured(), secured(capabilities={}), secured(capabilities={"add": None}), added()]
)
def test_nothing_added_passes(container: dict) -> None:
    assert found(CONTROL, spec(container)) == []


def test_the_message_names_what_is_too_much_and_no_more() -> None:
    from ringfence.controls.pod import Subject, of

    (only,) = CONTROL.check(Subject(of(spec(added("CHOWN", "NET_RAW")))))
    assert only.message == 'adds "NET_RAW" to container "c0"'
