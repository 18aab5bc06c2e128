import pytest
from ringfence.controls.host_probes import CONTROL

from tests.unit.controls.samples import EVERY_KIND, every_kind, found, spec

PLACES = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")


def reaching(place: str, action: str, host: str | None) -> dict:
    handler = {action: {"port": 80, "host": host}}
    outer, _, inner = place.partition(".")
    return {outer: {inner: handler} if inner else handler}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("action", ["httpGet", "tcpSocket"])
def test_every_probe_and_hook_is_judged_in_every_kind_of_container(place: str, action: str) -> None:
    fields = found(CONTROL, every_kind(reaching(place, action, "169.254.169.254")))
    assert fields == [f"{each}.{place}.{action}.host" for each in EVERY_KIND]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.1", " "])
def test_no_host_is_an_exception(host: str) -> None:
    assert found(CONTROL, spec(reaching("livenessProbe", "httpGet", host)))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("host", ["", None])
def test_the_pod_itself_passes(place: str, host: str | None) -> None:
    assert found(CONTROL, spec(reaching(place, "httpGet", host))) == []


def test_two_probes_are_no_violation() -> None:
    container = {"livenessProbe": {"exec": {"command": ["x"]}}, "readinessProbe": {"grpc": {"port": 1}}}
    assert found(CONTROL, spec(container)) == []


def test_it_came_with_1_34() -> None:
    bad = spec({"livenessProbe": {"httpGet": {"host": "10.0.0.1"}}})
    assert found(CONTROL, bad, 33) == []
    assert found(CONTROL, bad, 34) == ["spec.containers[0].livenessProbe.httpGet.host"]
