"""What admission says of pods: create, update, offline; audited, enforced and other namespaces."""

import dataclasses
from typing import Any

import pytest
from ringfence.controls import binding, evaluate, pod
from ringfence.controls.evaluate import Context
from ringfence.controls.sessions import SESSIONS
from ringfence.model.demands import ControlId, Setting
from ringfence.model.effective import AdmissionRequirement, ControlDemand, EffectivePolicy, RuleRef
from ringfence.model.errors import CannotTell, InvalidResource
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode, PodSecurityException, PodSecurityLevel
from ringfence.model.world import Enrolment, Namespace

EVERY_POD = LabelBox()
NOW = 1_800_000_000.0
FLOOR = RuleRef("ClusterSecurityPolicy", "", "floor", "admission")
OWN = RuleRef("SecurityPolicy", "shop", "strict", "admission")
ENROLMENT = "the enrolment of the namespace"
HOST_PATH: dict[str, Any] = {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}
HOST_PORT: list[dict[str, Any]] = [{"name": "main", "ports": [{"containerPort": 1, "hostPort": 1}]}]
PRIVILEGED: dict[str, Any] = {"name": "debug", "securityContext": {"privileged": True}}
MIRROR = {pod.MIRROR_ANNOTATION: "hash"}


def requirement(
    level: str,
    ref: RuleRef = FLOOR,
    mode: Mode = Mode.ENFORCE,
    box: LabelBox = EVERY_POD,
    version: int | None = None,
) -> AdmissionRequirement:
    return AdmissionRequirement(box, PodSecurityLevel(level), mode, ref, version)


def context(
    *admission: AdmissionRequirement, enrolment: Enrolment = Enrolment.ENFORCE, ready: bool = True, **more: Any
) -> Context:
    policy = EffectivePolicy(
        "shop",
        enrolment,
        True,
        service_accounts=(("checkout", "till"), ("default", "default")),
        admission=admission,
        **more,
    )
    return Context(Namespace.of("shop", {"ringfence.dev/enroll": enrolment.value}), policy, NOW, ready)


def made(
    *, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "p"}
    if labels is not None:
        metadata["labels"] = labels
    if annotations is not None:
        metadata["annotations"] = annotations
    spec.setdefault("containers", [{"name": "main"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def labelled(account: str = "default", **spec: Any) -> dict[str, Any]:
    return made(labels={LABEL_IDENTITY: account}, serviceAccountName=account, **spec)


def create(obj: dict[str, Any], where: Context, *, by_node: bool = False) -> tuple[list[str], list[str]]:
    outcome = evaluate.create(pod.of(obj), where, by_node=by_node)
    return [each.control for each in outcome.violations], [each.control for each in outcome.warnings]


def update(old: dict[str, Any], new: dict[str, Any], where: Context) -> tuple[list[str], list[str]]:
    outcome = evaluate.update(pod.of(new), pod.of(old), where)
    return [each.control for each in outcome.violations], [each.control for each in outcome.warnings]


class TestCreate:
    def test_a_pod_with_its_identity_is_admitted(self) -> None:
        assert create(labelled("checkout"), context(requirement("baseline"))) == ([], [])

    @pytest.mark.parametrize(
        "labels", [None, {}, {LABEL_IDENTITY: "checkout"}, {LABEL_IDENTITY: ""}, {LABEL_IDENTITY: "Default"}]
    )
    @pytest.mark.parametrize("enrolment", [Enrolment.AUDIT, Enrolment.ENFORCE])
    def test_the_label_must_be_the_service_account_in_audited_namespaces_too(
        self, labels: dict | None, enrolment: Enrolment
    ) -> None:
        assert create(made(labels=labels), context(enrolment=enrolment)) == ([binding.IDENTITY_LABEL], [])

    def test_a_pod_that_names_no_account_runs_under_default(self) -> None:
        assert create(made(labels={LABEL_IDENTITY: "default"}), context()) == ([], [])

    @pytest.mark.parametrize(
        "key", ["ringfence.dev/zone", "ringfence.dev/enroll", "ringfence.dev/anything", "ringfence.dev/"]
    )
    def test_reserved_labels_are_refused(self, key: str) -> None:
        assert create(made(labels={LABEL_IDENTITY: "default", key: "x"}), context()) == ([binding.RESERVED_LABELS], [])

    @pytest.mark.parametrize("key", ["ringfence.dev", "x.ringfence.dev/zone", "ringfence.device/x"])
    def test_labels_of_others_are_not(self, key: str) -> None:
        assert create(made(labels={LABEL_IDENTITY: "default", key: "x"}), context()) == ([], [])

    def test_without_a_service_identity_it_is_refused_when_enforced_and_warned_of_when_audited(self) -> None:
        assert create(labelled("stranger"), context()) == ([binding.SERVICE_IDENTITY], [])
        assert create(labelled("stranger"), context(enrolment=Enrolment.AUDIT)) == ([], [binding.SERVICE_IDENTITY])

    def test_before_the_network_is_closed_nobody_comes_in(self) -> None:
        assert create(labelled(), context(ready=False)) == ([binding.NETWORK_CLOSED], [])

    def test_a_name_that_no_label_can_hold_is_refused(self) -> None:
        long = "a" * 64
        where = context()
        where = dataclasses.replace(where, policy=dataclasses.replace(where.policy, service_accounts=((long, "x"),)))
        assert create(made(serviceAccountName=long), where)[0] == [binding.IDENTITY_LABEL, binding.SERVICE_ACCOUNT_NAME]

    def test_the_longest_name_that_fits_is_not(self) -> None:
        long = "a" * 63
        where = context()
        where = dataclasses.replace(where, policy=dataclasses.replace(where.policy, service_accounts=((long, "x"),)))
        assert create(labelled(long), where) == ([], [])

    def test_everything_that_is_wrong_is_said_at_once(self) -> None:
        bad = made(labels={"ringfence.dev/zone": "x"}, serviceAccountName="stranger", hostNetwork=True)
        assert set(create(bad, context(requirement("baseline"), ready=False))[0]) == {
            binding.IDENTITY_LABEL,
            binding.RESERVED_LABELS,
            binding.SERVICE_IDENTITY,
            binding.NETWORK_CLOSED,
            "host-namespaces",
        }

    def test_outside_enrolled_namespaces_only_the_labels_are_judged(self) -> None:
        outside = context(requirement("restricted"), enrolment=Enrolment.NONE, ready=False)
        assert create(made(hostNetwork=True), outside) == ([], [])
        assert create(labelled(), outside) == ([binding.IDENTITY_LABEL], [])
        assert create(made(labels={"ringfence.dev/zone": "x"}), outside) == ([binding.RESERVED_LABELS], [])


class TestMirror:
    def test_a_kubelet_may_show_its_static_pod(self) -> None:
        assert create(made(annotations=MIRROR, hostNetwork=True), context(requirement("restricted")), by_node=True) == (
            [],
            [],
        )

    def test_nobody_else_may(self) -> None:
        assert create(made(annotations=MIRROR), context()) == ([binding.MIRROR_POD], [])

    def test_it_has_no_identity(self) -> None:
        forged = made(annotations=MIRROR, labels={LABEL_IDENTITY: "checkout"})
        assert create(forged, context(), by_node=True) == ([binding.IDENTITY_LABEL], [])


class TestLevels:
    def test_the_strictest_holds_and_each_violation_names_who_asked(self) -> None:
        where = context(requirement("baseline"), requirement("restricted", OWN))
        outcome = evaluate.create(pod.of(labelled(hostNetwork=True)), where)
        asked = {each.control: each.policy for each in outcome.violations}
        assert asked["host-namespaces"] == "ClusterSecurityPolicy floor"
        assert asked["run-as-non-root"] == "SecurityPolicy shop/strict"

    def test_nobody_is_told_the_same_twice(self) -> None:
        where = context(requirement("baseline"), requirement("restricted", OWN))
        container = {"name": "main", "securityContext": {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}}}
        controls = create(labelled(containers=[container]), where)[0]
        assert "capabilities" not in controls
        assert controls.count("capabilities-restricted") == 1

    def test_a_violation_says_the_standard_and_what_kubernetes_calls_it(self) -> None:
        where = context(requirement("baseline"), requirement("restricted", OWN, version=31))
        found = {each.control: each for each in evaluate.create(pod.of(labelled(hostNetwork=True)), where).violations}
        assert (found["host-namespaces"].standard, found["host-namespaces"].reason) == (
            "baseline:latest",
            "host namespaces",
        )
        assert (found["run-as-non-root"].standard, found["run-as-non-root"].reason) == (
            "restricted:v1.31",
            "runAsNonRoot != true",
        )

    @pytest.mark.parametrize("first", ["floor", "own"])
    def test_an_older_version_beside_a_newer_one_loosens_nothing(self, first: str) -> None:
        older, newer = (
            requirement("restricted", FLOOR if first == "floor" else OWN, version=18),
            requirement("restricted", OWN if first == "floor" else FLOOR),
        )
        root = labelled(securityContext={"runAsUser": 0, "runAsNonRoot": True})
        assert "run-as-user" in create(root, context(older, newer))[0]
        unconfined = labelled()
        unconfined["metadata"]["annotations"] = {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
        outcome = evaluate.create(pod.of(unconfined), context(older, newer))
        assert any(each.field.startswith("metadata.annotations") for each in outcome.violations)

    def test_a_namespace_that_asks_for_more_does_not_free_windows_of_the_floor(self) -> None:
        container = {"name": "main", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}
        windows = labelled(containers=[container], os={"name": "windows"})
        assert create(windows, context(requirement("baseline")))[0] == ["capabilities"]
        assert "capabilities" in create(windows, context(requirement("baseline"), requirement("restricted", OWN)))[0]

    def test_of_two_versions_that_say_the_same_the_floor_is_named_once(self) -> None:
        sysctl = labelled(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]})
        outcome = evaluate.create(
            pod.of(sysctl), context(requirement("baseline", version=27), requirement("baseline", OWN))
        )
        assert [(each.control, each.policy, each.standard) for each in outcome.violations] == [
            ("sysctls", "ClusterSecurityPolicy floor", "baseline:v1.27")
        ]

    def test_only_pods_of_the_subject_are_bound(self) -> None:
        box = LabelBox.of({"app": one_of("web")})
        where = context(requirement("baseline", OWN, box=box))
        bound = labelled(**HOST_PATH)
        assert create(bound, where) == ([], [])
        bound["metadata"]["labels"]["app"] = "web"
        assert create(bound, where) == (["host-path"], [])

    @pytest.mark.parametrize(
        ("spec", "control"),
        [
            ({"hostNetwork": True}, "host-namespaces"),
            ({"hostPID": True}, "host-namespaces"),
            ({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}]}, "host-ports"),
            ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]}, "host-probes"),
            ({"containers": [{"name": "a", "securityContext": {"privileged": True}}]}, "privileged"),
        ],
    )
    @pytest.mark.parametrize("level", [None, "privileged"])
    def test_what_passes_every_network_policy_is_refused_at_every_level(
        self, spec: dict, control: str, level: str | None
    ) -> None:
        asked = [requirement(level)] if level else []
        outcome = evaluate.create(pod.of(labelled(**spec)), context(*asked))
        assert [(each.control, each.policy) for each in outcome.violations] == [(control, ENROLMENT)]
        assert create(labelled(**spec), context(*asked, enrolment=Enrolment.AUDIT)) == ([], [control])
        assert create(made(**spec), context(*asked, enrolment=Enrolment.NONE)) == ([], [])

    def test_what_does_not_is_left_to_the_level(self) -> None:
        root = {"name": "a", "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}}}
        free = labelled(containers=[root], volumes=[{"name": "v", "hostPath": {"path": "/"}}])
        assert create(free, context()) == ([], [])

    def test_a_policy_in_audit_warns(self) -> None:
        where = context(requirement("baseline", mode=Mode.AUDIT))
        assert create(labelled(**HOST_PATH), where) == ([], ["host-path"])

    def test_what_refuses_is_not_warned_of_again(self) -> None:
        where = context(requirement("baseline"), requirement("baseline", OWN, Mode.AUDIT))
        assert create(labelled(hostPID=True), where) == (["host-namespaces"], [])

    def test_an_audited_namespace_only_warns(self) -> None:
        where = context(requirement("baseline"), enrolment=Enrolment.AUDIT)
        assert create(labelled(hostPID=True), where) == ([], ["host-namespaces"])

    def test_privileged_asks_for_nothing_more(self) -> None:
        assert create(labelled(**HOST_PATH), context(requirement("privileged"))) == ([], [])


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
        where = context(requirement("baseline", mode=Mode.AUDIT), exceptions=(exception(controls=("host-path",)),))
        outcome = evaluate.create(pod.of(labelled("checkout", **HOST_PATH)), where)
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
        old, new = labelled(**HOST_PATH), labelled(**HOST_PATH)
        new["metadata"]["labels"]["app"] = "web"
        assert update(old, new, where) == (["host-path"], [])
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
