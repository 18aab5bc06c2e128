from ringfence.controls.privileged_ports import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, every_kind, spec


def test_from_1024_on_they_pass() -> None:
    assert asked(CONTROL, spec({"ports": [{"containerPort": 1024}, {"containerPort": 65535}, {"hostPort": 1}]})) == []


def test_below_they_are_refused() -> None:
    assert asked(
        CONTROL, spec({"ports": [{"containerPort": 8080}, {"containerPort": 1023}, {"containerPort": 1}]})
    ) == [
        "spec.containers[0].ports[1].containerPort",
        "spec.containers[0].ports[2].containerPort",
    ]


def test_every_kind_of_container_is_judged() -> None:
    fields = asked(CONTROL, every_kind({"ports": [{"containerPort": 80}]}))
    assert fields == [f"{each}.ports[0].containerPort" for each in EVERY_KIND]
