"""The backstop inside the API server, with no webhook at all: what holds must hold, and nothing else may wait."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.model.world import Enrolment
from ringfence.translate import admission_policy

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import CONTROLLER, ENROLL, IDENTITY, OWN, Rig, default_deny, pod, until

pytestmark = pytest.mark.component

TENANT = "tenant"
NODE: dict[str, Any] = {"user": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}
MIRROR = {"kubernetes.io/config.mirror": "0", "kubernetes.io/config.hash": "0"}

JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
MEDIA = ("application/merge-patch+json", "application/strategic-merge-patch+json", JSON_PATCH, APPLY)
#: (namespace, labels to set or remove, kind of patch); apply cannot remove what another manager owns.
FORGERIES = [
    (namespace, labels, media)
    for namespace, labels in (
        ("shop", {IDENTITY: "payments"}),
        ("shop", {IDENTITY: None}),
        ("shop", {"ringfence.dev/zone": "pci"}),
        ("plain", {IDENTITY: "default"}),
        ("plain", {"ringfence.dev/zone": "pci"}),
    )
    for media in MEDIA
    if not (media == APPLY and None in labels.values())
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with webhook_rig.rig("backstop", tmp_path_factory.mktemp("backstop"), webhook=False) as made:
        made.namespace("shop", "enforce")
        made.namespace("audited", "audit")
        made.namespace("plain")
        everything = ["create", "update", "patch", "delete", "deletecollection", "get", "list"]
        made.grant(
            TENANT,
            [
                ("", ["pods", "pods/status", "pods/binding", "bindings"], everything),
                ("", ["namespaces", "namespaces/status", "namespaces/finalize"], everything),
                ("networking.k8s.io", ["networkpolicies"], everything),
            ],
        )
        made.grant(
            "platform", [("", ["namespaces"], everything), ("networking.k8s.io", ["networkpolicies"], everything)]
        )
        made.grant("platform-enroll", [("ringfence.dev", ["clustersecuritypolicies"], ["enroll"])])
        subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "platform"}
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "platform-enroll"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "test:platform-enroll"},
            "subjects": [subject],
        }
        assert made.api.apply(binding).ok
        assert made.api.create(pod("ready", "shop", labels={IDENTITY: "default"})).ok
        assert made.api.create(pod("ready", "plain")).ok
        yield made


def held(reply: Reply, policy: str) -> bool:
    """Refused by this policy and by nothing else."""
    return not reply.ok and f"'{policy}'" in reply.message


class TestPods:
    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    @pytest.mark.parametrize("labels", [{}, {IDENTITY: "payments"}, {IDENTITY: ""}, {IDENTITY: "DEFAULT"}])
    def test_without_the_right_label_nobody_comes_in(self, rig: Rig, namespace: str, labels: dict[str, str]) -> None:
        reply = rig.api.create(pod("p", namespace, labels=labels), dry_run=True)
        assert held(reply, "ringfence-pods")
        assert ('must be "default"' if not labels.get(IDENTITY) else 'under ServiceAccount "default"') in reply.message

    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    def test_with_it_they_do(self, rig: Rig, namespace: str) -> None:
        assert rig.api.create(pod("p", namespace, labels={IDENTITY: "default", "app": "x"}), dry_run=True).ok

    def test_the_label_follows_the_service_account(self, rig: Rig) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "payments", "namespace": "shop"}}
        assert rig.api.create(account).ok
        for label, good in (("payments", True), ("default", False)):
            forged = pod("p", "shop", labels={IDENTITY: label}, serviceAccountName="payments")
            assert rig.api.create(forged, dry_run=True).ok is good

    @pytest.mark.parametrize("namespace", ["plain", "kube-system", OWN])
    def test_outside_no_pod_carries_it(self, rig: Rig, namespace: str) -> None:
        until(lambda: rig.api.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default").ok, 20)
        assert rig.api.create(pod("p", namespace), dry_run=True).ok
        assert held(rig.api.create(pod("p", namespace, labels={IDENTITY: "default"}), dry_run=True), "ringfence-pods")

    @pytest.mark.parametrize("namespace", ["shop", "plain"])
    @pytest.mark.parametrize("key", ["ringfence.dev/zone", "ringfence.dev/enroll", "ringfence.dev/purpose"])
    def test_reserved_labels_are_held_everywhere(self, rig: Rig, namespace: str, key: str) -> None:
        own = {IDENTITY: "default"} if namespace == "shop" else {}
        assert held(rig.api.create(pod("p", namespace, labels={**own, key: "x"}), dry_run=True), "ringfence-pods")

    @pytest.mark.parametrize("subresource", ["", "/status"])
    @pytest.mark.parametrize(("namespace", "labels", "media"), FORGERIES)
    def test_they_do_not_change_by_any_kind_of_patch(
        self, rig: Rig, subresource: str, namespace: str, labels: dict[str, str | None], media: str
    ) -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/ready{subresource}"
        body: Any = {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": labels}}
        if media == APPLY:
            path += "?fieldManager=x&force=true"
        elif media == JSON_PATCH:
            body = [{"op": "add", "path": "/metadata/labels", "value": {k: v for k, v in labels.items() if v}}]
        assert held(rig.api.request("PATCH", path, body, media=media), "ringfence-pods")

    @pytest.mark.parametrize("path", ["pods/ready/binding", "bindings"])
    def test_a_binding_brings_none_in(self, rig: Rig, path: str) -> None:
        """The API server copies a binding's labels into its pod."""
        metadata: dict[str, Any] = {"name": "ready", "labels": {IDENTITY: "payments"}}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": metadata,
            "target": {"kind": "Node", "name": "n1"},
        }
        assert held(rig.api.request("POST", f"/api/v1/namespaces/plain/{path}", binding, user=TENANT), "ringfence-pods")
        del metadata["labels"]
        name = "bound-" + path.rpartition("/")[2]
        assert rig.api.create(pod(name, "plain")).ok
        metadata["name"] = name
        target = path.replace("ready", name)
        assert rig.api.request("POST", f"/api/v1/namespaces/plain/{target}", binding).ok

    def test_everything_else_about_a_pod_may_change(self, rig: Rig) -> None:
        path = "/api/v1/namespaces/shop/pods/ready"
        assert rig.api.merge(path, {"metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}}}).ok
        assert rig.api.merge(path, {"metadata": {"labels": {"app": None}, "finalizers": ["x.example/y"]}}).ok
        assert rig.api.merge(path, {"metadata": {"finalizers": None}}).ok

    def test_a_kubelets_status_never_waits(self, rig: Rig) -> None:
        for namespace in ("shop", "plain"):
            path = f"/api/v1/namespaces/{namespace}/pods/ready/status"
            assert rig.api.merge(path, {"status": {"phase": "Running", "podIP": "10.0.0.1"}}).ok

    def test_not_even_that_of_a_pod_with_ten_thousand_labels(self, rig: Rig) -> None:
        many = {f"label-{index:05}": "x" * 40 for index in range(10_000)}
        assert rig.api.create(pod("many", "plain", labels=many)).ok
        assert rig.api.merge("/api/v1/namespaces/plain/pods/many/status", {"status": {"phase": "Running"}}).ok
        assert rig.api.request("DELETE", "/api/v1/namespaces/plain/pods/many?gracePeriodSeconds=0").ok

    def test_evictions_and_deletes_never_wait(self, rig: Rig) -> None:
        assert rig.api.create(pod("gone", "shop", labels={IDENTITY: "default"})).ok
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "gone", "namespace": "shop"}}
        assert rig.api.request("POST", "/api/v1/namespaces/shop/pods/gone/eviction", eviction).ok

    def test_an_ephemeral_container_may_come_as_far_as_labels_go(self, rig: Rig) -> None:
        body = {"spec": {"ephemeralContainers": [{"name": "debug", "image": "x"}]}}
        path = "/api/v1/namespaces/shop/pods/ready/ephemeralcontainers"
        assert rig.api.request("PATCH", path, body, media="application/strategic-merge-patch+json").ok

    def test_a_kubelet_shows_its_static_pods_and_nobody_else_does(self, rig: Rig) -> None:
        static = pod("static-n1", "shop", nodeName="n1")
        static["metadata"]["annotations"] = MIRROR
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
        assert rig.api.create(node).ok
        uid = rig.api.request("GET", "/api/v1/nodes/n1").body["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": True}
        static["metadata"]["ownerReferences"] = [owner]
        forged = rig.api.create(static, dry_run=True)
        assert held(forged, "ringfence-pods")
        assert "only for kubelets" in forged.message
        assert rig.api.create(static, **NODE).ok
        labelled = {**static, "metadata": {**static["metadata"], "name": "other-n1", "labels": {IDENTITY: "payments"}}}
        assert held(rig.api.create(labelled, **NODE), "ringfence-pods")

    def test_labels_left_over_from_enrolment_may_go(self, rig: Rig) -> None:
        rig.namespace("left", "audit")
        until(lambda: rig.api.create(pod("p", "left", labels={IDENTITY: "default"})).ok, 20)
        assert rig.api.merge("/api/v1/namespaces/left", {"metadata": {"labels": {ENROLL: None}}}).ok
        path = "/api/v1/namespaces/left/pods/p"
        until(lambda: rig.api.merge(path, {"metadata": {"labels": {IDENTITY: None}}}).ok, 20)
        assert held(rig.api.merge(path, {"metadata": {"labels": {IDENTITY: "default"}}}), "ringfence-pods")

    def test_duplicate_keys_are_judged_as_they_are_stored(self, rig: Rig) -> None:
        text = json.dumps(pod("twice", "shop", labels={IDENTITY: "default"}))
        for first, last, good in (("payments", "default", True), ("default", "payments", False)):
            body = text.replace(f'"{IDENTITY}": "default"', f'"{IDENTITY}": "{first}", "{IDENTITY}": "{last}"').encode()
            path = "/api/v1/namespaces/shop/pods?dryRun=All&fieldValidation=Ignore"
            assert rig.api.request("POST", path, body).ok is good


class TestNamespaces:
    CHANGES = (
        {ENROLL: None},
        {ENROLL: "audit"},
        {"ringfence.dev/zone": "pci"},
        {"ringfence.dev/anything": "x"},
    )

    @pytest.mark.parametrize("labels", CHANGES)
    @pytest.mark.parametrize("subresource", ["", "/status"])
    def test_who_may_not_enrol_changes_no_label_of_ringfences(
        self, rig: Rig, labels: dict[str, str | None], subresource: str
    ) -> None:
        reply = rig.api.merge(f"/api/v1/namespaces/shop{subresource}", {"metadata": {"labels": labels}}, user=TENANT)
        assert held(reply, "ringfence-namespaces")
        assert "enroll" in reply.message

    def test_nor_by_way_of_finalize(self, rig: Rig) -> None:
        namespace = rig.api.request("GET", "/api/v1/namespaces/shop").body
        del namespace["metadata"]["labels"][ENROLL]
        reply = rig.api.request("PUT", "/api/v1/namespaces/shop/finalize", namespace, user=TENANT)
        assert held(reply, "ringfence-namespaces")

    def test_nor_says_that_a_namespace_is_closed(self, rig: Rig) -> None:
        condition = {"type": "ringfence.dev/Enforced", "status": "True"}
        path = "/api/v1/namespaces/shop/status"
        assert held(rig.api.merge(path, {"status": {"conditions": [condition]}}, user=TENANT), "ringfence-namespaces")
        other = {"type": "example.com/Other", "status": "True"}
        assert rig.api.merge(path, {"status": {"conditions": [other]}}, user=TENANT).ok

    def test_other_labels_are_free(self, rig: Rig) -> None:
        assert rig.api.merge("/api/v1/namespaces/shop", {"metadata": {"labels": {"team": "a"}}}, user=TENANT).ok

    @pytest.mark.parametrize("labels", [{ENROLL: "audit"}, {"ringfence.dev/zone": "pci"}])
    def test_a_new_namespace_cannot_enrol_itself(self, rig: Rig, labels: dict[str, str]) -> None:
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine", "labels": labels}}
        assert held(rig.api.create(new, dry_run=True, user=TENANT), "ringfence-namespaces")
        assert rig.api.create(new, dry_run=True, user="platform").ok

    def test_whoever_has_the_verb_may(self, rig: Rig) -> None:
        for labels in ({ENROLL: "audit", "ringfence.dev/zone": "pci"}, {ENROLL: None, "ringfence.dev/zone": None}):
            assert rig.api.merge("/api/v1/namespaces/plain", {"metadata": {"labels": labels}}, user="platform").ok

    @pytest.mark.parametrize("name", ["kube-system", "kube-public", OWN])
    def test_nobody_enrols_what_everything_rests_on(self, rig: Rig, name: str) -> None:
        reply = rig.api.merge(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {ENROLL: "enforce"}}})
        assert held(reply, "ringfence-namespaces")


class TestNetworkPolicies:
    def policy(self, name: str) -> dict[str, Any]:
        made = default_deny("shop")
        made["metadata"] = {"name": name, "namespace": "shop"}
        return made

    @pytest.fixture
    def mine(self, rig: Rig) -> str:
        """Ringfence's default deny in `shop`, as the controller wrote it."""
        as_controller: dict[str, Any] = {"user": CONTROLLER, "groups": ["system:masters"]}
        assert rig.api.apply(default_deny("shop"), **as_controller).ok
        return "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/ringfence-default-deny"

    @pytest.mark.parametrize("user", [TENANT, "platform", "system:serviceaccount:shop:ringfence-controller"])
    def test_only_ringfence_writes_them(self, rig: Rig, user: str) -> None:
        groups = ["system:masters"]
        assert held(rig.api.create(self.policy("x"), user=user, groups=groups), "ringfence-network-policies")

    @pytest.mark.parametrize(
        "patch",
        [
            {"spec": {"ingress": [{}]}},
            {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"finalizers": ["x.example/y"]}},
        ],
    )
    def test_or_changes_its_own(self, rig: Rig, mine: str, patch: dict[str, Any]) -> None:
        for user in (TENANT, "platform"):
            assert held(rig.api.merge(mine, patch, user=user), "ringfence-network-policies")

    def test_a_tenant_cannot_delete_them_and_the_platform_can(self, rig: Rig, mine: str) -> None:
        assert held(rig.api.request("DELETE", mine, user=TENANT), "ringfence-network-policies")
        collection = mine.rpartition("/")[0]
        assert held(rig.api.request("DELETE", collection, user=TENANT), "ringfence-network-policies")
        assert rig.api.request("GET", mine).ok
        assert rig.api.request("DELETE", mine, user="platform").ok

    def test_a_strangers_from_before_may_only_go(self, rig: Rig) -> None:
        as_controller: dict[str, Any] = {"user": CONTROLLER, "groups": ["system:masters"]}
        assert rig.api.create(self.policy("stranger"), **as_controller).ok
        path = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/stranger"
        assert held(rig.api.merge(path, {"spec": {"ingress": [{}]}}, user=TENANT), "ringfence-network-policies")
        claim = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "ringfence"}}}
        assert held(rig.api.merge(path, claim, user=TENANT), "ringfence-network-policies")
        assert rig.api.merge(path, {"metadata": {"annotations": {"a": "b"}}}, user=TENANT).ok
        assert rig.api.request("DELETE", path, user=TENANT).ok

    @pytest.mark.parametrize("namespace", ["plain", "audited"])
    def test_elsewhere_they_are_nobodys_business(self, rig: Rig, namespace: str) -> None:
        made = self.policy("free")
        made["metadata"]["namespace"] = namespace
        assert rig.api.create(made, user=TENANT).ok
        path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/free"
        assert rig.api.merge(path, {"spec": {"ingress": [{}]}}, user=TENANT).ok
        assert rig.api.request("DELETE", path, user=TENANT).ok

    def test_a_namespace_that_goes_takes_them_along(self, rig: Rig) -> None:
        rig.namespace("going", "enforce")
        assert rig.api.create(default_deny("going"), user=CONTROLLER, groups=["system:masters"]).ok
        assert rig.api.request("DELETE", "/api/v1/namespaces/going", user="platform").ok
        until(lambda: rig.api.request("GET", "/api/v1/namespaces/going").status == 404, 30)


@pytest.fixture(scope="module")
def enrolling(rig: Rig) -> Iterator[Rig]:
    """The same cluster where new namespaces are audited unless somebody who may says otherwise."""
    for obj in admission_policy.objects(rig.installation, default_enrolment=Enrolment.AUDIT):
        assert rig.api.apply(obj).ok
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}}
    until(lambda: not rig.api.create(bare, dry_run=True, user=TENANT).ok, 20)
    yield rig
    for obj in admission_policy.objects(rig.installation):
        assert rig.api.apply(obj).ok
    until(lambda: rig.api.create(bare, dry_run=True, user=TENANT).ok, 20)


class TestDefaultEnrolment:
    @pytest.mark.parametrize(
        ("labels", "good"),
        [
            ({}, False),
            ({ENROLL: "audit"}, True),
            ({ENROLL: "enforce"}, False),
            ({ENROLL: "none"}, False),
            ({ENROLL: "audit", "ringfence.dev/zone": "pci"}, False),
        ],
    )
    def test_a_new_namespace_carries_the_default_whoever_makes_it(
        self, enrolling: Rig, labels: dict[str, str], good: bool
    ) -> None:
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new", "labels": labels}}
        assert enrolling.api.create(new, dry_run=True, user=TENANT).ok is good

    def test_whoever_may_enrol_may_also_not(self, enrolling: Rig) -> None:
        new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}}
        assert enrolling.api.create(new, dry_run=True, user="platform").ok

    def test_namespaces_from_before_are_left_alone(self, enrolling: Rig) -> None:
        assert enrolling.api.merge("/api/v1/namespaces/plain", {"metadata": {"labels": {"team": "b"}}}, user=TENANT).ok
