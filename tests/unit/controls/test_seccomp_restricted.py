from ringfence.controls.seccomp_restricted import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

ON = {"seccompProfile": {"type": "RuntimeDefault"}}
OFF = {"seccompProfile": {"type": "Unconfined"}}


def test_every_kind_of_container_needs_a_profile() -> None:
    assert found(CONTROL, every_kind({})) == [f"{each}.securityContext.seccompProfile" for each in EVERY_KIND]


def test_the_pods_profile_is_enough_and_so_is_each_containers_own() -> None:
    assert found(CONTROL, every_kind({}) | {"spec": {**every_kind({})["spec"], "securityContext": ON}}) == []
    assert found(CONTROL, every_kind(secured(**ON))) == []


def test_a_container_may_not_leave_the_pods_profile() -> None:
    assert found(CONTROL, spec(secured(**OFF), securityContext=ON)) == [
        "spec.containers[0].securityContext.seccompProfile.type"
    ]


def test_the_pods_unconfined_is_refused_although_the_container_has_its_own() -> None:
    assert found(CONTROL, spec(secured(**ON), securityContext=OFF)) == ["spec.securityContext.seccompProfile.type"]


def test_one_container_without_is_named() -> None:
    assert found(CONTROL, spec(secured(**ON), {})) == ["spec.containers[1].securityContext.seccompProfile"]


def test_windows_is_left_alone() -> None:
    assert found(CONTROL, spec(os={"name": "windows"})) == []


def test_it_came_with_1_19_and_leaves_windows_alone_since_1_25() -> None:
    linux, windows = spec(), spec(os={"name": "windows"})
    field = ["spec.containers[0].securityContext.seccompProfile"]
    assert [found(CONTROL, linux, version) for version in (18, 19, 25)] == [[], field, field]
    assert [found(CONTROL, windows, version) for version in (18, 19, 24, 25)] == [[], field, field, []]
