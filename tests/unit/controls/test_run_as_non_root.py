from ringfence.controls.run_as_non_root import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, secured, spec

POD = "spec.securityContext.runAsNonRoot"
CONTAINER = "spec.containers[0].securityContext.runAsNonRoot"


def test_every_kind_of_container_needs_it() -> None:
    assert found(CONTROL, every_kind({})) == [f"{each}.securityContext.runAsNonRoot" for each in EVERY_KIND]
    assert found(CONTROL, every_kind(secured(runAsNonRoot=True))) == []


def test_the_pods_true_covers_containers_that_say_nothing() -> None:
    assert found(CONTROL, spec({}, securityContext={"runAsNonRoot": True})) == []


def test_a_containers_false_wins_over_the_pods_true() -> None:
    assert found(CONTROL, spec(secured(runAsNonRoot=False), securityContext={"runAsNonRoot": True})) == [CONTAINER]


def test_the_pods_false_is_refused_whatever_its_containers_say() -> None:
    assert found(CONTROL, spec(secured(runAsNonRoot=True), securityContext={"runAsNonRoot": False})) == [POD]


def test_null_is_nothing_said() -> None:
    assert found(CONTROL, spec(secured(runAsNonRoot=None), securityContext={"runAsNonRoot": None})) == [CONTAINER]


def test_it_leaves_user_namespaces_alone_since_1_35() -> None:
    outside, inside = spec(), spec(hostUsers=False)
    field = ["spec.containers[0].securityContext.runAsNonRoot"]
    assert [found(CONTROL, outside, version) for version in (0, 34, 35)] == [field, field, field]
    assert [found(CONTROL, inside, version) for version in (0, 34, 35)] == [field, field, []]
