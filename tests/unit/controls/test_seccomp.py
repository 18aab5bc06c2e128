import pytest
from ringfence.controls.seccomp import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

OFF = {"seccompProfile": {"type": "Unconfined"}}


def test_pod_and_every_kind_of_container_are_judged() -> None:
    assert found(CONTROL, spec(securityContext=OFF)) == ["spec.securityContext.seccompProfile.type"]
    assert found(CONTROL, every_kind(secured(**OFF))) == [
        f"{e}.securityContext.seccompProfile.type" for e in EVERY_KIND
    ]


@pytest.mark.parametrize("type_", ["unconfined", "runtimedefault", "", None])
def test_what_is_not_exactly_one_of_the_two_is_refused(type_: str | None) -> None:
    assert found(CONTROL, spec(secured(seccompProfile={"type": type_})))


@pytest.mark.parametrize("type_", ["RuntimeDefault", "Localhost"])
def test_both_pass_and_so_does_nothing(type_: str) -> None:
    assert found(CONTROL, spec(secured(seccompProfile={"type": type_}))) == []
    assert found(CONTROL, spec({}, secured(seccompProfile=None))) == []
