from ringfence.controls.resource_requests import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, every_kind, spec


def test_a_request_passes_and_a_limit_stands_for_one() -> None:
    assert asked(CONTROL, spec({"resources": {"requests": {"cpu": "1"}}}), "cpu") == []
    assert asked(CONTROL, spec({"resources": {"limits": {"cpu": "1"}}}), "cpu") == []


def test_a_request_of_zero_asks_for_nothing_whatever_the_limit_is() -> None:
    container = {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "0"}}}
    assert asked(CONTROL, spec(container), "cpu") == ["spec.containers[0].resources.requests.cpu"]


def test_the_pods_is_one_for_all() -> None:
    assert asked(CONTROL, spec({}, {}, resources={"requests": {"cpu": "1"}}), "cpu") == []


def test_every_kind_of_container_that_can_have_requests_is_judged() -> None:
    expected = [f"{each}.resources.requests.cpu" for each in EVERY_KIND if "ephemeral" not in each]
    assert asked(CONTROL, every_kind({}), "cpu") == expected
