"""The webhook as a process behind a real API server: what users see."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.controls.templates import TEMPLATES

from tests.component import webhook_rig
from tests.component.webhook_rig import (
    CONTROLLER,
    ENROLL,
    IDENTITY,
    Rig,
    container,
    default_deny,
    floor,
    identity,
    pod,
    until,
)

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("webhook", tmp_path_factory.mktemp("webhook")) as made:
        made.enforced("shop", "default", "payments")
        made.namespace("audited", "audit")
        assert made.api.create(floor("floor", "baseline")).ok
        until(lambda: not made.api.create(pod("p", "shop", hostPID=True), dry_run=True).ok, 10)
        yield made


def path(namespace: str, name: str, subresource: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}{subresource}"


def workload(group: str, kind: str, **spec: Any) -> dict[str, Any]:
    """One whose pods the restricted standard accepts, unless ``spec`` says otherwise."""
    made = pod("", "", **spec)["spec"]
    if kind in {"Job", "CronJob"}:
        made["restartPolicy"] = "Never"
    field: dict[str, Any] = {"template": {"metadata": {"labels": {"app": "x"}}, "spec": made}}
    if group == "apps":
        field["selector"] = {"matchLabels": {"app": "x"}}
    elif kind == "ReplicationController":
        field["selector"] = {"app": "x"}
    elif kind == "CronJob":
        field = {"schedule": "@daily", "jobTemplate": {"spec": field}}
    whole = field if kind == "PodTemplate" else {"spec": field}
    version = f"{group}/v1" if group else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "web", "namespace": "shop"}, **whole}


class TestLabel:
    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    def test_a_pod_gets_the_name_of_its_service_account(self, rig: Rig, namespace: str) -> None:
        reply = rig.api.create(pod("labelled", namespace))
        assert reply.ok, reply.message
        assert reply.body["metadata"]["labels"] == {IDENTITY: "default"}

    def test_its_other_labels_stay(self, rig: Rig) -> None:
        reply = rig.api.create(pod("p", "shop", labels={"app": "x", "a/b": "c"}), dry_run=True)
        assert reply.body["metadata"]["labels"] == {"app": "x", "a/b": "c", IDENTITY: "default"}

    def test_a_template_that_carries_the_right_value_passes(self, rig: Rig) -> None:
        assert rig.api.create(pod("p", "shop", labels={IDENTITY: "default"}), dry_run=True).ok

    def test_a_wrong_value_is_refused_with_the_reason(self, rig: Rig) -> None:
        reply = rig.api.create(pod("p", "shop", labels={IDENTITY: "payments"}), dry_run=True)
        assert reply.status == 403
        assert f'[{IDENTITY}] is "payments", but the pod runs under ServiceAccount "default"' in reply.message

    def test_a_name_that_is_still_to_be_completed(self, rig: Rig) -> None:
        made = pod("", "shop")
        made["metadata"] = {"generateName": "web-", "namespace": "shop"}
        reply = rig.api.create(made, dry_run=True)
        assert reply.body["metadata"]["labels"] == {IDENTITY: "default"}
        made["spec"]["hostPID"] = True
        assert "Pod shop/web-" in rig.api.create(made, dry_run=True).message

    def test_elsewhere_nobody_is_asked(self, rig: Rig) -> None:
        rig.namespace("plain")
        reply = rig.api.create(pod("p", "plain", hostPID=True), dry_run=True)
        assert "labels" not in reply.body["metadata"]


class TestRefusals:
    def test_everything_is_named_at_once(self, rig: Rig) -> None:
        bad = pod("p", "shop", hostNetwork=True, volumes=[{"name": "v", "hostPath": {"path": "/"}}])
        reply = rig.api.create(bad, dry_run=True)
        assert reply.status == 403
        for part in ("spec.hostNetwork", "spec.volumes[0].hostPath", "asked by ClusterSecurityPolicy floor"):
            assert part in reply.message

    def test_a_service_account_without_identity(self, rig: Rig) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stranger", "namespace": "shop"}}
        assert rig.api.create(account).ok
        reply = rig.api.create(pod("p", "shop", serviceAccountName="stranger"), dry_run=True)
        assert "no ServiceIdentity" in reply.message
        assert rig.api.create(identity("shop", "stranger")).ok
        until(lambda: rig.api.create(pod("p", "shop", serviceAccountName="stranger"), dry_run=True).ok, 5)

    def test_in_an_audited_namespace_the_user_is_warned(self, rig: Rig) -> None:
        reply = rig.api.create(pod("p", "audited", hostPID=True), dry_run=True)
        assert reply.ok
        assert any("spec.hostPID" in each for each in reply.warnings)
        assert any("no ServiceIdentity" in each for each in reply.warnings)

    @pytest.mark.parametrize(("group", "kind"), sorted(key for key, path in TEMPLATES.items() if path))
    def test_the_author_of_every_kind_of_workload_is_warned(self, rig: Rig, group: str, kind: str) -> None:
        field = f"{'.'.join(TEMPLATES[group, kind])}.spec.hostPID"
        reply = rig.api.create(workload(group, kind, hostPID=True), dry_run=True)
        assert reply.ok, reply.message
        assert any(field in each and "host-namespaces (host namespaces)" in each for each in reply.warnings)
        assert not rig.api.create(workload(group, kind), dry_run=True).warnings

    def test_a_debug_container(self, rig: Rig) -> None:
        assert rig.api.create(pod("debugged", "shop")).ok
        media = "application/strategic-merge-patch+json"
        where = path("shop", "debugged", "/ephemeralcontainers")
        for privileged, good in ((True, False), (False, True)):
            debug = {"name": f"debug-{good}".lower(), "image": "x", "securityContext": {"privileged": privileged}}
            reply = rig.api.request("PATCH", where, {"spec": {"ephemeralContainers": [debug]}}, media=media)
            assert reply.ok is good, reply.message

    def test_a_policy_that_changes_is_in_force_at_once(self, rig: Rig) -> None:
        host_port = pod("p", "shop", containers=[container("main", ports=[{"containerPort": 80, "hostPort": 80}])])
        strict = {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": {"name": "strict", "namespace": "shop"},
            "spec": {"admission": {"podSecurity": "restricted"}},
        }
        root = pod("p", "shop", containers=[container("main", context={"runAsUser": 0})])
        assert rig.api.create(root, dry_run=True).ok
        assert rig.api.create(strict).ok
        until(lambda: "SecurityPolicy shop/strict" in rig.api.create(root, dry_run=True).message, 5)
        assert rig.api.request("DELETE", "/apis/ringfence.dev/v1alpha1/namespaces/shop/securitypolicies/strict").ok
        until(lambda: rig.api.create(root, dry_run=True).ok, 5)
        assert not rig.api.create(host_port, dry_run=True).ok

    def test_a_pod_from_before_a_policy_goes_on_and_ends(self, rig: Rig) -> None:
        rig.namespace("before")
        old = pod("old", "before", hostPID=True)
        old["metadata"]["finalizers"] = ["example.com/cleanup"]
        assert rig.api.create(old).ok
        assert rig.api.merge("/api/v1/namespaces/before", {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
        until(lambda: not rig.api.create(pod("new", "before"), dry_run=True).ok, 10)
        where = path("before", "old")
        assert rig.api.merge(where, {"metadata": {"annotations": {"a": "b"}}}).ok
        assert rig.api.merge(where + "/status", {"status": {"phase": "Running"}}).ok
        assert rig.api.request("DELETE", where + "?gracePeriodSeconds=0").ok
        assert rig.api.request("GET", where).body["metadata"]["deletionTimestamp"]
        assert rig.api.merge(where, {"metadata": {"finalizers": None}}).ok
        assert rig.api.request("GET", where).status == 404


class TestOwnKinds:
    def test_what_the_schema_cannot_say_is_refused_with_field_and_fix(self, rig: Rig) -> None:
        exception = {
            "name": "e",
            "namespace": "shop",
            "identities": ["default"],
            "controls": ["privilegd"],
            "reason": "because",
            "until": "2099-01-01T00:00:00Z",
        }
        reply = rig.api.create(floor("typo", "baseline", [exception]), dry_run=True)
        assert reply.status == 422
        assert "privilegd is no control" in reply.message

    def test_two_identities_for_one_service_account(self, rig: Rig) -> None:
        reply = rig.api.create(identity("shop", "twin", serviceAccountName="payments"), dry_run=True)
        assert reply.status == 422
        assert "ServiceIdentity payments" in reply.message

    def test_who_deletes_an_identity_is_told_what_follows(self, rig: Rig) -> None:
        assert rig.api.create(identity("shop", "leaving")).ok
        reply = rig.api.request("DELETE", "/apis/ringfence.dev/v1alpha1/namespaces/shop/serviceidentities/leaving")
        assert reply.ok
        assert any("ServiceAccount leaving" in each for each in reply.warnings)

    def test_labels_of_a_namespace(self, rig: Rig) -> None:
        for labels in ({ENROLL: "yes"}, {"ringfence.dev/zone": "PCI"}, {"ringfence.dev/foo": "bar"}):
            new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "odd", "labels": labels}}
            reply = rig.api.create(new, dry_run=True)
            assert reply.status == 422, reply
            assert "resources.ringfence.dev" in reply.message

    def test_un_enrolling_tells_what_it_opens(self, rig: Rig) -> None:
        rig.namespace("opening", "enforce")
        where = "/api/v1/namespaces/opening?dryRun=All"
        reply = rig.api.merge(where, {"metadata": {"labels": {ENROLL: None}}})
        assert any("opens" in each for each in reply.warnings)

    def test_strangers_network_policies(self, rig: Rig) -> None:
        stranger = default_deny("shop")
        stranger["metadata"] = {"name": "allow-all", "namespace": "shop"}
        reply = rig.api.create(stranger, dry_run=True)
        assert reply.status == 403
        assert "SecurityPolicy" in reply.message
        assert rig.api.create(stranger, dry_run=True, user=CONTROLLER, groups=["system:masters"]).ok


class TestSize:
    def test_an_update_of_a_large_pod_passes(self, rig: Rig) -> None:
        """Kubernetes' own limit for an object is 1.5 MiB in etcd; an update shows the webhook two of them."""
        large = pod("large", "shop", containers=[container("main", env=[_env(index) for index in range(1200)])])
        assert len(json.dumps(large)) > 1_200_000
        reply = rig.api.create(large)
        assert reply.ok, reply.message
        assert rig.api.merge(path("shop", "large"), {"metadata": {"labels": {"a": "b"}}}).ok
        reply = rig.api.merge(path("shop", "large"), {"metadata": {"labels": {IDENTITY: "payments"}}})
        assert "set once" in reply.message

    def test_ten_thousand_variables_and_a_thousand_containers(self, rig: Rig) -> None:
        small = [container(f"c{index}") for index in range(1000)]
        reply = rig.api.create(pod("wide", "shop", containers=small), dry_run=True)
        assert reply.ok, reply.message
        for each in small:
            each["securityContext"]["privileged"] = True
            each["securityContext"].pop("allowPrivilegeEscalation")
        reply = rig.api.create(pod("wide", "shop", containers=small), dry_run=True)
        assert "and 980 more" in reply.message

    def test_three_mebibytes_are_the_api_servers_to_refuse(self, rig: Rig) -> None:
        huge = pod("huge", "shop", containers=[container("main", env=[_env(index) for index in range(4000)])])
        reply = rig.api.create(huge, dry_run=True)
        assert reply.status in {413, 422, 500}
        assert rig.webhook is not None
        rig.webhook.wait_ready()


def _env(index: int) -> dict[str, Any]:
    return {"name": f"V{index}", "value": "x" * 1000}
