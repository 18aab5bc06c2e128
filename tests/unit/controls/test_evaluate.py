"""What admission says of pods: create, update, offline; audited, enforced and other namespaces."""

import dataclasses

import pytest
from ringfence.controls import binding, evaluate, pod
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode
from ringfence.model.world import Enrolment

from tests.unit.controls.evaluating import (
    ENROLMENT,
    FLOOR,
    MIRROR,
    OWN,
    SYSCTL,
    context,
    create,
    labelled,
    made,
    requirement,
)


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
        bound = labelled(**SYSCTL)
        assert create(bound, where) == ([], [])
        bound["metadata"]["labels"]["app"] = "web"
        assert create(bound, where) == (["sysctls"], [])

    @pytest.mark.parametrize(
        ("spec", "control"),
        [
            ({"hostNetwork": True}, "host-namespaces"),
            ({"hostPID": True}, "host-namespaces"),
            ({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}]}, "host-ports"),
            ({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "10.0.0.1"}}}]}, "host-probes"),
            ({"containers": [{"name": "a", "securityContext": {"privileged": True}}]}, "privileged"),
            ({"volumes": [{"name": "v", "hostPath": {"path": "/var/lib/kubelet/pods"}}]}, "host-path"),
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
        free = labelled(containers=[root], **SYSCTL)
        assert create(free, context()) == ([], [])

    def test_a_policy_in_audit_warns(self) -> None:
        where = context(requirement("baseline", mode=Mode.AUDIT))
        assert create(labelled(**SYSCTL), where) == ([], ["sysctls"])

    def test_what_refuses_is_not_warned_of_again(self) -> None:
        where = context(requirement("baseline"), requirement("baseline", OWN, Mode.AUDIT))
        assert create(labelled(hostPID=True), where) == (["host-namespaces"], [])

    def test_an_audited_namespace_only_warns(self) -> None:
        where = context(requirement("baseline"), enrolment=Enrolment.AUDIT)
        assert create(labelled(hostPID=True), where) == ([], ["host-namespaces"])

    def test_privileged_asks_for_nothing_more(self) -> None:
        assert create(labelled(**SYSCTL), context(requirement("privileged"))) == ([], [])
