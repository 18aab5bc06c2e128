import pytest
from ringfence.controls.run_as_user import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec


def test_pod_and_every_kind_of_container_are_judged() -> None:
    assert found(CONTROL, spec(securityContext={"runAsUser": 0})) == ["spec.securityContext.runAsUser"]
    assert found(CONTROL, every_kind(secured(runAsUser=0))) == [
        f"{each}.securityContext.runAsUser" for each in EVERY_KIND
    ]


def test_both_are_named_though_one_overrides_the_other() -> None:
    assert len(found(CONTROL, spec(secured(runAsUser=0), securityContext={"runAsUser": 0}))) == 2
    assert len(found(CONTROL, spec(secured(runAsUser=1), securityContext={"runAsUser": 0}))) == 1


@pytest.mark.parametrize("user", [1, 65534, 2**63 - 1, None])
def test_others_pass(user: int | None) -> None:
    assert found(CONTROL, spec(secured(runAsUser=user), securityContext={"runAsUser": user})) == []


def test_it_came_with_1_23_and_leaves_user_namespaces_alone_since_1_35() -> None:
    root, inside = (spec(securityContext={"runAsUser": 0}, **users) for users in ({}, {"hostUsers": False}))
    field = ["spec.securityContext.runAsUser"]
    assert [found(CONTROL, root, version) for version in (22, 23, 35)] == [[], field, field]
    assert [found(CONTROL, inside, version) for version in (22, 23, 34, 35)] == [[], field, field, []]


@pytest.mark.parametrize("users", [True, None])
def test_only_false_is_a_user_namespace(users: bool | None) -> None:
    assert found(CONTROL, spec(securityContext={"runAsUser": 0}, hostUsers=users))
