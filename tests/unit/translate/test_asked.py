"""What the policies of a namespace come to for the backstop, and the objects that are made of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ringfence.controls import registry
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import AdmissionRequirement, ControlDemand, EffectivePolicy, RuleRef
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode, PodSecurityException, PodSecurityLevel
from ringfence.model.world import Enrolment, Installation
from ringfence.translate import admission_policy
from ringfence.translate.backstop import asked, pod_security, requirements
from ringfence.translate.backstop.asked import Exemption, Images, Level, Placed, Requirement

from tests.conftest import Golden

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "admission_policy"
NOW = 1_800_000_000.0
EVERY_POD = LabelBox()
VAULT = LabelBox.of({LABEL_IDENTITY: one_of("vault")})
PCI = LabelBox.of({"tier": one_of("pci")})
RESTRICTED, BASELINE = PodSecurityLevel.RESTRICTED, PodSecurityLevel.BASELINE
REGISTRIES = Setting(ControlId.IMAGE_REGISTRIES, ("registry.example",))
DIGEST = Setting(ControlId.IMAGE_DIGEST)


def ref(*, floor: bool) -> RuleRef:
    kind = "ClusterSecurityPolicy" if floor else "SecurityPolicy"
    return RuleRef(kind, "" if floor else "shop", "p", "admission")


def level(
    what: PodSecurityLevel = RESTRICTED,
    subject: LabelBox = EVERY_POD,
    *,
    floor: bool = False,
    mode: Mode = Mode.ENFORCE,
    version: int | None = None,
) -> AdmissionRequirement:
    return AdmissionRequirement(subject, what, mode, ref(floor=floor), version)


def demand(
    *settings: Setting, subject: LabelBox = EVERY_POD, floor: bool = False, mode: Mode = Mode.ENFORCE
) -> ControlDemand:
    return ControlDemand(subject, settings, mode, ref(floor=floor))


def effective(name: str = "shop", enrolment: Enrolment = Enrolment.ENFORCE, **fields: Any) -> EffectivePolicy:
    return EffectivePolicy(name, enrolment, closed=True, **fields)


def exception(until: str = "2099-01-01T00:00:00Z", identities: tuple[str, ...] = ("agent",)) -> PodSecurityException:
    return PodSecurityException("e", "shop", identities, ("host-path", "apparmor"), "a test", until, "floor")


def test_nothing_is_asked_where_nothing_is_enforced() -> None:
    for enrolment in (Enrolment.NONE, Enrolment.AUDIT):
        assert asked.of(effective(enrolment=enrolment, admission=(level(),)), NOW) == ()


def test_an_enforced_namespace_stays_closed_whatever_is_asked() -> None:
    assert asked.of(effective(), NOW) == (Placed(Requirement(enrolment=True), "shop"),)


def test_what_only_reports_and_what_asks_for_nothing_is_left_out() -> None:
    policy = effective(
        admission=(level(PodSecurityLevel.PRIVILEGED), level(mode=Mode.AUDIT)),
        demands=(demand(REGISTRIES, mode=Mode.AUDIT), demand(Setting(ControlId.EXEC), Setting(ControlId.HOST_ALIASES))),
    )
    assert asked.of(policy, NOW) == asked.of(effective(), NOW)


def test_whoever_asks_of_every_pod_is_in_one_requirement() -> None:
    policy = effective(
        admission=(level(floor=True), level(BASELINE, version=30), level()),
        demands=(demand(REGISTRIES, DIGEST, floor=True), demand(DIGEST)),
    )
    (placed,) = asked.of(policy, NOW)
    assert placed.requirement == Requirement(
        levels=(Level(BASELINE, 30, False), Level(RESTRICTED, -1, False)),
        images=(
            Images(ControlId.IMAGE_DIGEST, (), False),
            Images(ControlId.IMAGE_REGISTRIES, REGISTRIES.values, False),
        ),
        enrolment=True,
    )


def test_what_is_asked_of_some_pods_stands_apart_unless_all_are_asked() -> None:
    some = (level(subject=VAULT), level(BASELINE, PCI))
    wide, first, second = asked.of(effective(admission=some, demands=(demand(DIGEST, subject=VAULT),)), NOW)
    assert wide.requirement == Requirement(enrolment=True)
    narrow = Requirement((Level(RESTRICTED, -1, False),), (Images(ControlId.IMAGE_DIGEST, (), False),))
    assert {first, second} == {
        Placed(narrow, "shop", VAULT),
        Placed(Requirement((Level(BASELINE, -1, False),), subject=PCI), "shop"),
    }
    assert len(asked.of(effective(admission=(*some, level(floor=True), level(BASELINE)), demands=()), NOW)) == 1


def test_an_empty_subject_asks_nobody() -> None:
    assert len(asked.of(effective(admission=(level(subject=LabelBox.of({LABEL_IDENTITY: one_of()})),)), NOW)) == 1


def test_exceptions_count_for_the_accounts_of_their_identities_until_they_end() -> None:
    accounts = (("sa-a", "agent"), ("sa-b", "other"))
    fields: dict[str, Any] = {"service_accounts": accounts, "admission": (level(floor=True), level())}
    (placed,) = asked.of(effective(**fields, exceptions=(exception(),)), NOW)
    assert placed.requirement.exemptions == (Exemption(("sa-a",), ("apparmor", "host-path"), "2099-01-01T00:00:00Z"),)
    # What the namespace asks of itself no exception frees it of.
    assert placed.requirement.levels == (Level(RESTRICTED, -1, False), Level(RESTRICTED, -1, True))
    plain = asked.of(effective(admission=(level(),)), NOW)
    for none in (exception("2020-01-01T00:00:00Z"), exception("never"), exception(identities=("nobody",))):
        assert asked.of(effective(**fields, exceptions=(none,)), NOW) == plain


def test_the_next_end_is_the_first_that_is_still_to_come() -> None:
    ends = ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "2027-01-15T08:00:10Z", "never")
    policy = effective(exceptions=tuple(exception(until) for until in ends))
    assert asked.next_end(policy, NOW) == pytest.approx(10.0)
    assert asked.next_end(effective(), NOW) == 0.0
    audited = effective(enrolment=Enrolment.AUDIT, exceptions=policy.exceptions)
    assert asked.next_end(audited, NOW) == 0.0


def test_every_form_of_every_control_can_be_said() -> None:
    known = {each.id: {each.since, *(form.since for form in each.before)} for each in registry.CONTROLS}
    assert known == {control: set(forms) for control, forms in pod_security.FORMS.items()}


ASKING = Requirement(
    (Level(RESTRICTED, 30, True),),
    (Images(ControlId.IMAGE_DIGEST, (), False), Images(ControlId.IMAGE_REGISTRIES, ("registry.example",), True)),
    enrolment=True,
    exemptions=(Exemption(("agent",), ("host-path", "volume-types"), "2099-01-01T02:00:00+02:00"),),
)


def test_objects(golden: Golden) -> None:
    narrow = Requirement((Level(BASELINE, -1, False),), subject=PCI)
    placed = [Placed(ASKING, "shop"), Placed(ASKING, "data", VAULT), Placed(narrow, "shop")]
    policies, bindings = requirements.objects(placed)
    text = yaml.safe_dump_all([*policies, *bindings], sort_keys=True, width=110)
    golden.check(GOLDEN / "asked.out.yaml", text)


def test_namespaces_that_are_asked_for_the_same_share_a_policy() -> None:
    placed = [each for name in ("b", "a", "c") for each in asked.of(effective(name, admission=(level(),)), NOW)]
    (policy,), (binding,) = requirements.objects(placed)
    assert binding["spec"]["policyName"] == binding["metadata"]["name"] == policy["metadata"]["name"]
    where = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    assert where[1]["values"] == ["a", "b", "c"]


def test_another_requirement_has_another_name_and_the_same_one_always_the_same() -> None:
    others = [
        Requirement(enrolment=True),
        Requirement((Level(RESTRICTED, -1, False),), enrolment=True),
        Requirement((Level(RESTRICTED, -1, False),)),
        Requirement((Level(RESTRICTED, -1, False),), subject=PCI),
        ASKING,
    ]
    assert len({requirements.name_of(each) for each in others}) == len(others)
    many = LabelBox.of({"a": one_of(*"xyz"), "b": one_of(*"zyx")})
    # Values are a set: its order, which changes from process to process, must not count.
    assert requirements.name_of(Requirement(subject=many)) == "ringfence-asked-" + requirements._digest(
        repr(((), (), False, (), many.key))
    )


def test_a_policy_of_the_backstop_takes_no_parameters_and_fails_closed() -> None:
    made = admission_policy.objects(Installation(), placed=asked.of(effective(), NOW))
    (policy,) = (
        each for each in made if each["metadata"]["name"].startswith("ringfence-asked-") and "variables" in str(each)
    )
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert "paramKind" not in policy["spec"]
    assert json.dumps(made) == json.dumps(admission_policy.objects(Installation(), placed=asked.of(effective(), NOW)))


class TestKeeping:
    """While nobody can say what is asked in a namespace, what is held there is held on."""

    def observed(self, *names: str) -> tuple[dict[str, Any], ...]:
        placed = [each for name in names for each in asked.of(effective(name, admission=(level(),)), NOW)]
        policies, bindings = requirements.objects(placed)
        made = [*policies, *bindings]
        return tuple({**each, "metadata": {**each["metadata"], "uid": "u", "resourceVersion": "7"}} for each in made)

    def desired(self, *names: str, what: PodSecurityLevel = RESTRICTED) -> tuple[dict[str, Any], ...]:
        placed = [each for name in names for each in asked.of(effective(name, admission=(level(what),)), NOW)]
        return admission_policy.objects(Installation(), placed=placed)

    def where(self, objects: tuple[dict[str, Any], ...]) -> dict[str, list[str]]:
        return {
            each["spec"]["policyName"]: each["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"][1][
                "values"
            ]
            for each in objects
            if each["kind"].endswith("Binding") and "matchResources" in each["spec"]
        }

    def test_nothing_is_kept_where_everything_is_known(self) -> None:
        desired = self.desired("a")
        assert requirements.keeping(desired, self.observed("a", "b"), frozenset()) == desired

    def test_a_namespace_stays_in_the_binding(self) -> None:
        kept = requirements.keeping(self.desired("a"), self.observed("a", "b"), frozenset({"b"}))
        ((_, names),) = self.where(kept).items()
        assert names == ["a", "b"]

    def test_and_the_policy_with_it(self) -> None:
        desired = self.desired("a", "b", what=BASELINE)
        kept = requirements.keeping(desired, self.observed("a", "b"), frozenset({"b"}))
        former = requirements.name_of(Requirement((Level(RESTRICTED, -1, False),), enrolment=True))
        assert self.where(kept)[former] == ["b"]
        (policy,) = (
            each for each in kept if each["metadata"]["name"] == former and not each["kind"].endswith("Binding")
        )
        assert set(policy["metadata"]) == {"name", "labels"}
        assert len(kept) == len(desired) + 2

    def test_a_binding_without_its_policy_is_not(self) -> None:
        alone = tuple(each for each in self.observed("b") if each["kind"].endswith("Binding"))
        desired = self.desired("a", what=BASELINE)
        assert requirements.keeping(desired, alone, frozenset({"b"})) == desired
