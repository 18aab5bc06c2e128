"""What admission says of pods under an exception, and of sessions into them."""

from typing import Any

import pytest
from ringfence.controls import evaluate, pod
from ringfence.controls.sessions import SESSIONS
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import ControlDemand, RuleRef
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode, PodSecurityException
from ringfence.model.world import Enrolment

from tests.unit.controls.evaluating import (
    FLOOR,
    HOST_PORT,
    OWN,
    PRIVILEGED,
    SYSCTL,
    context,
    create,
    labelled,
    made,
    requirement,
    update,
)


def exception(**fields: Any) -> PodSecurityException:
    given = {
        "name": "e",
        "namespace": "shop",
        "identities": ("till",),
        "controls": ("host-namespaces",),
        "reason": "r",
        "until": "2099-01-01T00:00:00Z",
        **fields,
    }
    return PodSecurityException(**given)


class TestExceptions:
    def refused(
        self, *exceptions: PodSecurityException, account: str = "checkout", ref: RuleRef = FLOOR, **spec: Any
    ) -> list[str]:
        where = context(requirement("baseline", ref), exceptions=exceptions)
        return create(labelled(account, **(spec or {"hostPID": True})), where)[0]

    def test_it_frees_its_identity_of_its_control(self) -> None:
        assert self.refused(exception()) == []

    def test_it_frees_of_nothing_else(self) -> None:
        ports = [{"name": "main", "ports": [{"containerPort": 1, "hostPort": 1}]}]
        assert self.refused(exception(), hostPID=True, containers=ports) == ["host-ports"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"identities": ("checkout",)},  # the ServiceAccount's name, not the identity's
            {"identities": ("default",)},
            {"identities": ()},
            {"identities": ("*",)},
            {"namespace": "other"},
            {"namespace": ""},
            {"namespace": "*"},
            {"controls": ("host-ports",)},
            {"controls": ()},
            {"controls": ("*",)},
            {"until": "2001-01-01T00:00:00Z"},
            {"until": "2099-01-01T00:00:00"},
            {"until": "never"},
            {"until": ""},
        ],
    )
    def test_its_scope_is_what_is_written(self, fields: dict) -> None:
        assert self.refused(exception(**fields)) == ["host-namespaces"]

    def test_two_do_not_combine_into_one(self) -> None:
        one = exception(identities=("default",))
        other = exception(name="f", controls=("host-ports",))
        assert self.refused(one, other) == ["host-namespaces"]

    def test_two_do_not_add_up(self) -> None:
        one, other = exception(), exception(name="f", controls=("host-ports",))
        assert self.refused(one) == []
        assert self.refused(other, containers=HOST_PORT) == []
        assert self.refused(one, other, hostPID=True, containers=HOST_PORT) == ["host-ports"]
        both = exception(name="g", controls=("host-namespaces", "host-ports"))
        assert self.refused(one, other, both, hostPID=True, containers=HOST_PORT) == []

    def test_two_of_two_policies_do_not_either(self) -> None:
        one, other = exception(policy="a"), exception(policy="b", controls=("host-ports",))
        assert self.refused(one, other, hostPID=True, containers=HOST_PORT) == ["host-ports"]

    def test_why_one_of_two_does_not_help_is_said(self) -> None:
        one, other = exception(policy="a"), exception(policy="b", name="f", controls=("host-ports",))
        where = context(requirement("baseline"), exceptions=(one, other))
        (only,) = evaluate.create(pod.of(labelled("checkout", hostPID=True, containers=HOST_PORT)), where).violations
        assert only.fix.endswith("(exception b/f does not cover all that the pod breaks, and two never combine)")

    def test_the_one_that_was_used_is_told_the_narrowest_first(self) -> None:
        wide = exception(policy="a", controls=("host-namespaces", "host-ports"))
        narrow = exception(policy="b")
        where = context(requirement("baseline"), exceptions=(wide, narrow))
        assert evaluate.create(pod.of(labelled("checkout", hostPID=True)), where).used == narrow
        assert evaluate.create(pod.of(labelled("checkout", containers=HOST_PORT)), where).used == wide
        assert evaluate.create(pod.of(labelled("checkout")), where).used is None
        assert evaluate.create(pod.of(labelled("default", hostPID=True)), where).used is None

    def test_it_frees_of_the_controls_of_policies_too(self) -> None:
        demand = ControlDemand(LabelBox(), (Setting(ControlId.IMAGE_DIGEST),), Mode.ENFORCE, FLOOR)
        image = [{"name": "main", "image": "a.example/x:1"}]
        where = context(demands=(demand,), exceptions=(exception(controls=("image-digest",)),))
        assert create(labelled("checkout", containers=image), where) == ([], [])
        assert create(labelled("default", containers=image), where) == (["image-digest"], [])

    def test_one_for_pod_security_and_one_for_a_policys_control_do_not_add_up(self) -> None:
        demand = ControlDemand(LabelBox(), (Setting(ControlId.IMAGE_DIGEST),), Mode.ENFORCE, FLOOR)
        one, other = exception(), exception(name="f", controls=("image-digest",))
        where = context(requirement("baseline"), demands=(demand,), exceptions=(one, other))
        image = [{"name": "main", "image": "a.example/x:1"}]
        assert create(labelled("checkout", hostPID=True, containers=image), where) == (["image-digest"], [])

    def test_two_do_not_add_up_over_time(self) -> None:
        one, other = exception(), exception(name="f", controls=("privileged",))
        old = labelled("checkout", hostPID=True)
        new = labelled("checkout", hostPID=True, ephemeralContainers=[PRIVILEGED])
        plain = labelled("checkout", ephemeralContainers=[PRIVILEGED])
        where = context(requirement("baseline"), exceptions=(one, other))
        assert create(old, where) == ([], [])
        assert update(labelled("checkout"), plain, where) == ([], [])
        assert update(old, new, where) == (["privileged"], [])
        both = exception(name="g", controls=("host-namespaces", "privileged"))
        assert update(old, new, context(requirement("baseline"), exceptions=(one, other, both))) == ([], [])

    def test_nor_does_one_that_has_ended_with_one_that_has_not(self) -> None:
        ended, other = exception(until="2001-01-01T00:00:00Z"), exception(name="f", controls=("privileged",))
        old = labelled("checkout", hostPID=True)
        new = labelled("checkout", hostPID=True, ephemeralContainers=[PRIVILEGED])
        assert update(old, new, context(requirement("baseline"), exceptions=(ended, other))) == (["privileged"], [])

    def test_a_pod_that_it_let_in_goes_on_when_it_has_ended(self) -> None:
        old = labelled("checkout", hostPID=True)
        new = {**old, "metadata": {**old["metadata"], "annotations": {"a": "b"}}}
        where = context(requirement("baseline"), exceptions=(exception(until="2001-01-01T00:00:00Z"),))
        assert update(old, new, where) == ([], [])

    def test_in_audit_it_silences_the_warning(self) -> None:
        where = context(requirement("baseline", mode=Mode.AUDIT), exceptions=(exception(controls=("sysctls",)),))
        outcome = evaluate.create(pod.of(labelled("checkout", **SYSCTL)), where)
        assert (outcome.violations, outcome.warnings, outcome.used) == ((), (), where.policy.exceptions[0])

    def test_it_ends_at_its_moment(self) -> None:
        assert self.refused(exception(until="2027-01-15T08:00:01Z")) == []
        assert self.refused(exception(until="2027-01-15T08:00:00Z")) == ["host-namespaces"]

    def test_it_frees_of_floors_only(self) -> None:
        assert self.refused(exception(), ref=OWN) == ["host-namespaces"]

    def test_who_has_no_identity_has_no_exception(self) -> None:
        assert "host-namespaces" in self.refused(exception(), account="stranger")


class TestSession:
    def opened(
        self, *given: PodSecurityException, account: str = "checkout", mode: Mode = Mode.ENFORCE, **spec: Any
    ) -> tuple[list[str], list[str]]:
        """What closes exec into a pod of the account."""
        demand = ControlDemand(LabelBox.of({"app": one_of("web")}), (Setting(ControlId.EXEC),), mode, FLOOR)
        enrolment = spec.pop("enrolment", Enrolment.ENFORCE)
        labels = spec.pop("labels", {"app": "web"})
        where = context(requirement("baseline"), enrolment=enrolment, demands=(demand,), exceptions=given)
        into = pod.of(made(labels={LABEL_IDENTITY: account, **labels}, serviceAccountName=account, **spec))
        outcome = evaluate.session(SESSIONS["exec"], into, where)
        return [each.control for each in outcome.violations], [each.control for each in outcome.warnings]

    def test_is_refused_where_a_policy_of_the_pod_closes_it(self) -> None:
        assert self.opened() == (["exec"], [])
        assert self.opened(labels={}) == ([], [])

    def test_what_else_is_wrong_with_the_pod_is_no_reason(self) -> None:
        assert self.opened(hostPID=True) == (["exec"], [])
        assert self.opened(hostPID=True, labels={}) == ([], [])

    def test_is_warned_of_in_audit(self) -> None:
        assert self.opened(mode=Mode.AUDIT) == ([], ["exec"])
        assert self.opened(enrolment=Enrolment.AUDIT) == ([], ["exec"])
        assert self.opened(enrolment=Enrolment.NONE) == ([], [])

    def test_an_exception_opens_it_into_the_pods_of_its_identity(self) -> None:
        assert self.opened(exception(controls=("exec",))) == ([], [])
        assert self.opened(exception(controls=("exec",)), account="default") == (["exec"], [])
        assert self.opened(exception(controls=("attach",))) == (["exec"], [])

    def test_but_not_into_one_that_runs_under_another_exception(self) -> None:
        one, other = exception(), exception(name="f", controls=("exec",))
        assert self.opened(one, other, hostPID=True) == (["exec"], [])
