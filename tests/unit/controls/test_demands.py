"""How the controls that policies switch on add up, who is named for each, and what an exception takes away."""

from typing import Any

import pytest
from ringfence.controls import demands, exceptions, pod
from ringfence.controls.pod import Subject
from ringfence.controls.sessions import SESSIONS
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import ControlDemand, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.resources import Mode
from ringfence.model.world import Enrolment

from tests.unit.controls.samples import spec

FLOOR = RuleRef("ClusterSecurityPolicy", "", "floor", "admission")
OWN = RuleRef("SecurityPolicy", "shop", "strict", "admission")
REGISTRIES, DIGEST, LATEST = ControlId.IMAGE_REGISTRIES, ControlId.IMAGE_DIGEST, ControlId.IMAGE_LATEST


def demand(*settings: Setting, ref: RuleRef = FLOOR, mode: Mode = Mode.ENFORCE, **box: Any) -> ControlDemand:
    return ControlDemand(LabelBox.of(box), settings, mode, ref)


def broken(
    obj: dict[str, Any], *asked: ControlDemand, excepted: frozenset[str] = exceptions.NONE, mode: Mode = Mode.ENFORCE
) -> list[tuple[str, str]]:
    """Controls and who asked."""
    policy = EffectivePolicy("shop", Enrolment.ENFORCE, True, demands=asked)
    found = demands.violations(Subject(pod.of(obj)), policy, excepted, mode)
    return [(each.control, each.policy) for each in found]


def test_of_two_lists_of_registries_both_must_have_the_image() -> None:
    floor = demand(Setting(REGISTRIES, ("a.example", "b.example")))
    own = demand(Setting(REGISTRIES, ("b.example", "c.example")), ref=OWN)
    assert broken(spec({"image": "b.example/x"}), floor, own) == []
    assert broken(spec({"image": "a.example/x"}), floor, own) == [(REGISTRIES, "SecurityPolicy shop/strict")]
    assert broken(spec({"image": "c.example/x"}), floor, own) == [(REGISTRIES, "ClusterSecurityPolicy floor")]


def test_a_longer_list_of_a_namespace_does_not_widen_the_floor() -> None:
    floor = demand(Setting(REGISTRIES, ("a.example/shop",)))
    own = demand(Setting(REGISTRIES, ("a.example", "docker.io")), ref=OWN)
    assert broken(spec({"image": "a.example/other/x"}), floor, own) == [(REGISTRIES, "ClusterSecurityPolicy floor")]


def test_resources_add_up() -> None:
    floor = demand(Setting(ControlId.RESOURCE_LIMITS, ("cpu",)))
    own = demand(Setting(ControlId.RESOURCE_LIMITS, ("cpu", "memory")), ref=OWN)
    assert broken(spec(), floor, own) == [
        (ControlId.RESOURCE_LIMITS, "ClusterSecurityPolicy floor"),
        (ControlId.RESOURCE_LIMITS, "SecurityPolicy shop/strict"),
    ]


def test_what_several_ask_for_is_told_once_for_the_first() -> None:
    asked = [demand(Setting(DIGEST), ref=ref) for ref in (FLOOR, OWN)]
    assert broken(spec({"image": "a.example/x:1"}), *asked) == [(DIGEST, "ClusterSecurityPolicy floor")]


def test_several_violations_come_together() -> None:
    asked = demand(Setting(ControlId.READ_ONLY_ROOT), Setting(REGISTRIES, ("a.example",)), Setting(LATEST))
    assert [control for control, _ in broken(spec({"image": "nginx"}), asked)] == [
        LATEST,
        REGISTRIES,
        ControlId.READ_ONLY_ROOT,
    ]


def test_the_stricter_control_alone_speaks_and_the_weaker_comes_back_when_it_is_excepted() -> None:
    asked = demand(Setting(DIGEST), Setting(LATEST))
    pod_ = spec({"image": "nginx"})
    assert [control for control, _ in broken(pod_, asked)] == [DIGEST]
    assert [control for control, _ in broken(pod_, asked, excepted=frozenset({"image-digest"}))] == [LATEST]


def test_an_exception_takes_away_what_floors_ask_and_not_what_a_namespace_asks_of_itself() -> None:
    freed = frozenset({"image-registries"})
    setting = Setting(REGISTRIES, ("a.example",))
    assert broken(spec({"image": "nginx"}), demand(setting), excepted=freed) == []
    assert broken(spec({"image": "nginx"}), demand(setting, ref=OWN), excepted=freed) == [
        (REGISTRIES, "SecurityPolicy shop/strict")
    ]
    assert broken(spec({"image": "nginx"}), demand(setting), demand(setting, ref=OWN), excepted=freed) == [
        (REGISTRIES, "SecurityPolicy shop/strict")
    ]


def test_only_the_pods_and_the_mode_of_a_policy_count() -> None:
    asked = demand(Setting(DIGEST), app=one_of("web"))
    assert broken(spec({"image": "nginx"}), asked) == []
    web = spec({"image": "nginx"}, metadata={"labels": {"app": "web"}})
    assert broken(web, asked) == [(DIGEST, "ClusterSecurityPolicy floor")]
    assert broken(web, asked, mode=Mode.AUDIT) == []


@pytest.mark.parametrize(("subresource", "session"), SESSIONS.items())
def test_sessions_are_closed_each_by_its_own_control(subresource: str, session: Any) -> None:
    policy = EffectivePolicy("shop", Enrolment.ENFORCE, True, demands=(demand(Setting(session.control)),))
    subject = Subject(pod.of(spec()))
    assert demands.violations(subject, policy, exceptions.NONE, Mode.ENFORCE) == []
    for other in SESSIONS.values():
        found = demands.of_session(other, subject, policy, exceptions.NONE, Mode.ENFORCE)
        assert [(each.control, each.field) for each in found] == (
            [(session.control, f"pods/{subresource}")] if other is session else []
        )
        assert demands.closes(other, policy) == (other is session)


def test_equal_demands_made_anew_are_equal() -> None:
    one, other = (demand(Setting(REGISTRIES, ("a.example",))) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != demand(Setting(REGISTRIES, ("b.example",)))
