"""What admission says of changes, and of pods that nobody has created yet."""

import pytest
from ringfence.controls import binding, evaluate
from ringfence.model.errors import CannotTell, InvalidResource
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode
from ringfence.model.world import Enrolment

from tests.unit.controls.evaluating import (
    OWN,
    SYSCTL,
    context,
    labelled,
    made,
    requirement,
    update,
)


class TestUpdate:
    def test_what_was_wrong_before_is_no_reason(self) -> None:
        old = made(hostPID=True)
        new = made(hostPID=True, labels={"app": "web"})
        assert update(old, new, context(requirement("restricted"))) == ([], [])

    def test_what_the_change_brings_is(self) -> None:
        old = labelled()
        new = labelled(ephemeralContainers=[{"name": "debug", "securityContext": {"privileged": True}}])
        assert update(old, new, context(requirement("baseline"))) == (["privileged"], [])

    def test_a_second_violation_of_the_same_control_is_one_more(self) -> None:
        one = {"name": "a", "securityContext": {"privileged": True}}
        other = {"name": "b", "securityContext": {"privileged": True}}
        old, new = labelled(ephemeralContainers=[one]), labelled(ephemeralContainers=[one, other])
        assert update(old, new, context(requirement("baseline"))) == (["privileged"], [])

    def test_what_a_stricter_policy_hid_was_there_before(self) -> None:
        strict = requirement("restricted", OWN, box=LabelBox.of({"app": one_of("web")}))
        where = context(requirement("baseline"), strict)
        old = labelled(containers=[{"name": "a", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}])
        new = {**old, "metadata": {**old["metadata"], "labels": {LABEL_IDENTITY: "default"}}}
        old["metadata"]["labels"]["app"] = "web"
        assert update(old, new, where) == ([], [])

    def test_a_label_that_moves_the_pod_under_a_policy_is_judged_by_it(self) -> None:
        where = context(requirement("baseline", OWN, box=LabelBox.of({"app": one_of("web")})))
        old, new = labelled(**SYSCTL), labelled(**SYSCTL)
        new["metadata"]["labels"]["app"] = "web"
        assert update(old, new, where) == (["sysctls"], [])
        assert update(new, old, where) == ([], [])

    @pytest.mark.parametrize("enrolment", [Enrolment.AUDIT, Enrolment.ENFORCE])
    @pytest.mark.parametrize(
        ("before", "after"),
        [("default", None), ("default", "checkout"), (None, "default"), (None, "checkout"), ("x", "default")],
    )
    def test_the_identity_label_never_changes(
        self, enrolment: Enrolment, before: str | None, after: str | None
    ) -> None:
        old, new = (made(labels={LABEL_IDENTITY: value} if value else {}) for value in (before, after))
        assert update(old, new, context(enrolment=enrolment)) == ([binding.IDENTITY_LABEL], [])

    def test_reserved_labels_are_not_added_or_changed_but_removed(self) -> None:
        bare, zoned, other = ({"ringfence.dev/zone": z} if z else {} for z in ("", "a", "b"))
        for before, after, refused in (
            (bare, zoned, True),
            (zoned, other, True),
            (zoned, bare, False),
            (zoned, zoned, False),
        ):
            assert update(made(labels=before), made(labels=after), context())[0] == [binding.RESERVED_LABELS] * refused

    def test_outside_the_label_may_go_but_not_come(self) -> None:
        outside = context(enrolment=Enrolment.NONE)
        assert update(labelled(), made(), outside) == ([], [])
        assert update(made(), labelled(), outside) == ([binding.IDENTITY_LABEL], [])

    def test_removing_a_finalizer_passes_whatever_is_wrong(self) -> None:
        old = made(hostNetwork=True, serviceAccountName="stranger")
        old["metadata"] |= {"finalizers": ["x/y"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
        new = {**old, "metadata": {**old["metadata"], "finalizers": []}}
        assert update(old, new, context(requirement("restricted"), ready=False)) == ([], [])

    def test_a_pod_that_is_ending_is_judged_all_the_same(self) -> None:
        old, new = labelled(), labelled(ephemeralContainers=[{"name": "d", "securityContext": {"privileged": True}}])
        for each in (old, new):
            each["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert update(old, new, context(requirement("baseline"))) == (["privileged"], [])

    def test_in_audit_the_change_is_warned_of(self) -> None:
        new = labelled(ephemeralContainers=[{"name": "debug", "securityContext": {"procMount": "Unmasked"}}])
        assert update(labelled(), new, context(requirement("baseline", mode=Mode.AUDIT))) == ([], ["proc-mount"])


class TestAdmit:
    def test_the_label_is_set_first(self) -> None:
        assert evaluate.admit(made(), context()).admitted

    def test_a_workload_is_judged_by_its_template_and_the_field_says_where(self) -> None:
        template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "main"}], "hostPID": True}}
        deployment = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"template": template},
        }
        job = {"spec": {"template": template}}
        cron = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "d"}, "spec": {"jobTemplate": job}}
        for obj, prefix in ((deployment, "spec.template."), (cron, "spec.jobTemplate.spec.template.")):
            (only,) = evaluate.admit(obj, context(requirement("baseline"))).violations
            assert only.field == f"{prefix}spec.hostPID"

    def test_a_wrong_label_in_a_template_is_found(self) -> None:
        template = {"metadata": {"labels": {LABEL_IDENTITY: "checkout"}}, "spec": {"containers": [{"name": "main"}]}}
        obj = {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "d"},
            "spec": {"template": template},
        }
        assert [each.control for each in evaluate.admit(obj, context()).violations] == [binding.IDENTITY_LABEL]

    @pytest.mark.parametrize(
        "obj", [{}, {"apiVersion": "apps/v1", "kind": "Pod"}, {"apiVersion": "v1", "kind": "Service"}]
    )
    def test_kinds_without_pods_cannot_be_told(self, obj: dict) -> None:
        with pytest.raises(CannotTell):
            evaluate.admit(obj, context())

    @pytest.mark.parametrize(
        ("spec", "field"),
        [
            ({"containers": "none"}, "spec.containers"),
            (
                {"containers": [{"securityContext": {"privileged": "true"}}]},
                "spec.containers[0].securityContext.privileged",
            ),
            ({"hostNetwork": "yes"}, "spec.hostNetwork"),
            (
                {"containers": [{"securityContext": {"runAsUser": 2**70}}]},
                "spec.containers[0].securityContext.runAsUser",
            ),
        ],
    )
    def test_what_is_malformed_names_its_field(self, spec: dict, field: str) -> None:
        with pytest.raises(InvalidResource) as caught:
            evaluate.admit({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}, context())
        assert caught.value.kind == "Pod"
        assert caught.value.name == "p"
        assert field in caught.value.errors[0].path

    def test_nulls_are_absent_fields(self) -> None:
        obj = made(initContainers=None, volumes=None, securityContext=None, serviceAccountName=None)
        assert evaluate.admit(obj, context(requirement("baseline"))).admitted
