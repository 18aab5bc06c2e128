from ringfence.controls.host_ports import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, spec


def test_every_kind_of_container_is_judged() -> None:
    fields = found(CONTROL, every_kind({"ports": [{"containerPort": 80, "hostPort": 80}]}))
    assert fields == [f"{each}.ports[0].hostPort" for each in EVERY_KIND]


def test_each_port_is_named() -> None:
    ports = [{"containerPort": 80, "hostPort": 1}, {"containerPort": 81}, {"containerPort": 82, "hostPort": 65535}]
    assert found(CONTROL, spec({"ports": ports})) == [
        "spec.containers[0].ports[0].hostPort",
        "spec.containers[0].ports[2].hostPort",
    ]


def test_zero_and_absent_pass() -> None:
    assert (
        found(CONTROL, spec({"ports": [{"containerPort": 80, "hostPort": 0}, {"containerPort": 81, "hostPort": None}]}))
        == []
    )
