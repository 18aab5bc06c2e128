from ringfence.controls.ephemeral_containers import CONTROL

from tests.unit.controls.samples import asked, every_kind, spec


def test_other_containers_pass() -> None:
    assert asked(CONTROL, spec({}, initContainers=[{"name": "init"}], ephemeralContainers=[])) == []


def test_ephemeral_ones_are_refused() -> None:
    assert asked(CONTROL, every_kind({})) == ["spec.ephemeralContainers[0]"]
