"""Whole answers over a cluster made of objects: pods by every way they are written, and the rest."""

import copy
from typing import Any

import pytest
from ringfence.model.foreign_policies import FOREIGN, ForeignPolicy
from ringfence.model.world import Enrolment
from ringfence.webhook.review import Purpose

from tests.unit.webhook import fakes
from tests.unit.webhook.asking import ask, refused
from tests.unit.webhook.fakes import FakeCluster, default_deny, floor, identity, namespace
from tests.unit.webhook.reviews import encoded, pod

LABEL = "ringfence.dev/identity"


class TestPods:
    def test_a_good_pod_is_admitted(self, cluster: FakeCluster) -> None:
        assert ask(cluster, encoded(pod())) == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}

    def test_the_label_is_set(self, cluster: FakeCluster) -> None:
        response = ask(cluster, encoded(pod(labels={"app": "x"})), Purpose.MUTATE)
        assert response["patch"] == [
            {"op": "add", "path": "/metadata/labels/ringfence.dev~1identity", "value": "default"}
        ]

    @pytest.mark.parametrize("subresource", ["resize", "ephemeralcontainers", "status"])
    def test_only_a_new_pod_is_labelled(self, cluster: FakeCluster, subresource: str) -> None:
        response = ask(cluster, encoded(pod(labels={}), pod(labels={}), subresource=subresource), Purpose.MUTATE)
        assert "patch" not in response

    @pytest.mark.parametrize("subresource", ["", "resize", "ephemeralcontainers", "status", "somethingnew"])
    def test_updates_are_judged_by_whatever_way_they_come(self, cluster: FakeCluster, subresource: str) -> None:
        debug = [{"name": "debug", "image": "x", "securityContext": {"privileged": True}}]
        message = refused(ask(cluster, encoded(pod(ephemeralContainers=debug), pod(), subresource=subresource)))
        assert "spec.ephemeralContainers[0].securityContext.privileged is true" in message
        moved = refused(ask(cluster, encoded(pod(labels={LABEL: "payments"}), pod(), subresource=subresource)))
        assert "set once" in moved

    @pytest.mark.parametrize("purpose", [Purpose.MUTATE, Purpose.VALIDATE])
    def test_both_webhooks_say_the_same_of_a_bad_pod(self, cluster: FakeCluster, purpose: Purpose) -> None:
        """Whichever asks first is heard; what refuses is counted by it alone."""
        bad = pod(containers=[{"name": "main", "image": "x", "securityContext": {"privileged": True}}])
        response = ask(cluster, encoded(bad), purpose)
        assert "securityContext.privileged is true" in refused(response)
        assert "privileged" in response["auditAnnotations"]["violations"].split(",")
        assert "patch" not in response

    @pytest.mark.parametrize("subresource", ["", "ephemeralcontainers"])
    def test_a_change_that_brings_nothing_is_not_mutated(self, cluster: FakeCluster, subresource: str) -> None:
        old = pod(hostNetwork=True)
        new = {**old, "metadata": {**old["metadata"], "finalizers": []}}
        response = ask(cluster, encoded(new, old, subresource=subresource), Purpose.MUTATE)
        assert response == {"uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": True}

    def test_a_subresource_of_another_kind_that_nobody_knows_is_refused(self, cluster: FakeCluster) -> None:
        body = encoded(pod(), subresource="checkpoint", kind={"group": "", "version": "v1", "kind": "PodCheckpoint"})
        assert "pods/checkpoint with a PodCheckpoint" in refused(ask(cluster, body))

    def test_evictions_and_deletes_pass(self, cluster: FakeCluster) -> None:
        eviction = {"group": "policy", "version": "v1", "kind": "Eviction"}
        assert ask(cluster, encoded(pod(), subresource="eviction", kind=eviction))["allowed"]
        assert ask(cluster, encoded(None, pod(hostNetwork=True)))["allowed"]

    def test_a_binding_brings_no_label(self, cluster: FakeCluster) -> None:
        kind = {"group": "", "version": "v1", "kind": "Binding"}
        plain = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "shop"},
            "target": {"name": "n"},
        }
        forged = {**plain, "metadata": {**plain["metadata"], "labels": {LABEL: "payments"}}}
        assert ask(cluster, encoded(plain, subresource="binding", kind=kind))["allowed"]
        assert LABEL in refused(ask(cluster, encoded(forged, subresource="binding", kind=kind)))

    def test_a_kind_that_nobody_judges_is_refused(self, cluster: FakeCluster) -> None:
        body = encoded(pod(), resource={"group": "", "version": "v1", "resource": "secrets"})
        assert "does not judge secrets" in refused(ask(cluster, body))
        assert "does not judge secrets" in refused(ask(cluster, body, Purpose.MUTATE))

    @pytest.mark.parametrize(
        "spec", [{"containers": {}}, {"containers": [7]}, {"hostNetwork": "true"}, {"volumes": [[]]}]
    )
    def test_what_is_no_pod_is_refused(self, cluster: FakeCluster, spec: dict) -> None:
        assert "cannot be read" in refused(ask(cluster, encoded(pod(**spec))))

    def test_a_pod_without_a_namespace_is_refused(self, cluster: FakeCluster) -> None:
        assert "namespace is missing" in refused(ask(cluster, encoded(pod(), namespace="")))

    def test_ten_thousand_containers_are_judged(self, cluster: FakeCluster) -> None:
        many = [{"name": f"c{index}", "image": "x"} for index in range(10_000)]
        message = refused(ask(cluster, encoded(pod(containers=many))))
        assert "more" in message
        assert len(message) < 10_000

    def test_the_refusal_names_the_one_who_asked(self, cluster: FakeCluster) -> None:
        assert "asked by ClusterSecurityPolicy floor" in refused(ask(cluster, encoded(pod(hostPID=True))))


class TestNamespaces:
    def labels(self, after: dict[str, str], before: dict[str, str] | None = None, name: str = "shop") -> dict[str, Any]:
        old = None if before is None else namespace(name, "", **before)
        return ask(FakeCluster([]), encoded(namespace(name, "", **after), old))

    @pytest.mark.parametrize("value", ["audit", "enforce"])
    def test_the_two_enrolments_pass(self, value: str) -> None:
        assert self.labels({"ringfence.dev/enroll": value}, {})["allowed"]

    @pytest.mark.parametrize("value", ["Enforce", "true", "", "none", "enforce "])
    def test_others_are_refused(self, value: str) -> None:
        assert "use audit or enforce" in refused(self.labels({"ringfence.dev/enroll": value}, {}))

    @pytest.mark.parametrize("name", ["kube-system", "ringfence-system", "kube-node-lease"])
    def test_nobody_locks_the_cluster_or_ringfence_out(self, name: str) -> None:
        assert "belongs to Kubernetes" in refused(self.labels({"ringfence.dev/enroll": "enforce"}, {}, name))

    @pytest.mark.parametrize(
        ("zone", "good"),
        [
            ("pci", True),
            ("a" * 63, True),
            ("a" * 64, False),
            ("PCI", False),
            ("a.b", False),
            ("-a", False),
            ("", False),
        ],
    )
    def test_zones_are_dns_labels(self, zone: str, good: bool) -> None:
        assert self.labels({"ringfence.dev/zone": zone}, {})["allowed"] is good

    def test_unknown_reserved_labels_are_refused(self) -> None:
        assert "is unknown" in refused(self.labels({"ringfence.dev/identity": "x"}, {}))

    def test_what_does_not_change_is_not_judged(self) -> None:
        old = {"ringfence.dev/enroll": "whatever", "ringfence.dev/x": "y"}
        assert self.labels({**old, "team": "a"}, old)["allowed"]

    def test_un_enrolling_says_what_it_means(self) -> None:
        response = self.labels({}, {"ringfence.dev/enroll": "enforce"})
        assert response["allowed"]
        assert "opens" in response["warnings"][0]

    def test_a_new_namespace_gets_the_default(self) -> None:
        cluster = FakeCluster([])
        body = encoded({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
        assert "patch" not in ask(cluster, body, Purpose.MUTATE)
        (operation,) = ask(cluster, body, Purpose.MUTATE, default_enrolment=Enrolment.AUDIT)["patch"]
        assert operation["value"] == {"ringfence.dev/enroll": "audit"}

    @pytest.mark.parametrize(
        "obj", [namespace("new", "enforce"), namespace("kube-system"), namespace("ringfence-system")]
    )
    def test_unless_it_has_one_or_is_exempt(self, obj: dict) -> None:
        assert "patch" not in ask(FakeCluster([]), encoded(obj), Purpose.MUTATE, default_enrolment=Enrolment.AUDIT)


STRANGER = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "allow-all", "namespace": "shop"},
    "spec": {"podSelector": {}, "ingress": [{}]},
}


class TestNetworkPolicies:
    def test_strangers_write_none_in_enforced_namespaces(self, cluster: FakeCluster) -> None:
        assert "only Ringfence writes NetworkPolicies" in refused(ask(cluster, encoded(STRANGER)))

    def test_nor_does_ringfence_by_any_other_name(self, cluster: FakeCluster) -> None:
        for user in ("system:serviceaccount:shop:ringfence-controller", f"{fakes.CONTROLLER}\n", "ringfence"):
            refused(ask(cluster, encoded(STRANGER, user=user)))
        assert ask(cluster, encoded(STRANGER, user=fakes.CONTROLLER))["allowed"]

    def test_elsewhere_they_may(self) -> None:
        for enroll in ("", "audit"):
            assert ask(FakeCluster([namespace("shop", enroll)]), encoded(STRANGER))["allowed"]

    def test_one_from_before_may_change_its_metadata_only(self, cluster: FakeCluster) -> None:
        renamed = copy.deepcopy(STRANGER)
        renamed["metadata"]["labels"] = {"a": "b"}
        assert ask(cluster, encoded(renamed, STRANGER))["allowed"]
        opened = {**STRANGER, "spec": {"podSelector": {}, "egress": [{}]}}
        refused(ask(cluster, encoded(opened, STRANGER)))
        taken = copy.deepcopy(STRANGER)
        taken["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "ringfence"}
        refused(ask(cluster, encoded(taken, STRANGER)))

    def test_ringfences_own_are_not_changed_by_others(self, cluster: FakeCluster) -> None:
        own = default_deny("shop")
        refused(ask(cluster, encoded({**own, "spec": {**own["spec"], "ingress": [{}]}}, own)))
        stripped = copy.deepcopy(own)
        stripped["metadata"]["labels"] = {}
        refused(ask(cluster, encoded(stripped, own)))

    def test_deletes_are_the_backstops_business(self, cluster: FakeCluster) -> None:
        assert ask(cluster, encoded(None, default_deny("shop")))["allowed"]

    def test_a_namespace_of_this_second_is_read(self) -> None:
        cluster = FakeCluster([], [namespace("shop", "enforce")])
        refused(ask(cluster, encoded(STRANGER)))


def foreign(each: ForeignPolicy, namespace: str = "shop", **content: Any) -> dict[str, Any]:
    """An object of a network's own kind."""
    metadata = {"name": "allow-all", "namespace": namespace}
    return {"apiVersion": f"{each.group}/v1", "kind": each.kind, "metadata": metadata, **content}


def about(each: ForeignPolicy, obj: dict | None, old: dict | None = None, **request: Any) -> bytes:
    """The review of one."""
    resource = {"group": each.group, "version": "v1", "resource": each.plural}
    kind = {"group": each.group, "version": "v1", "kind": each.kind}
    return encoded(obj, old, kind=kind, resource=resource, **request)


@pytest.mark.parametrize("kind", FOREIGN, ids=lambda each: f"{each.plural}.{each.group}")
class TestForeignPolicies:
    def test_nobody_writes_them_in_enforced_namespaces(self, cluster: FakeCluster, kind: ForeignPolicy) -> None:
        for user in ("jane", fakes.CONTROLLER):
            message = refused(ask(cluster, about(kind, foreign(kind, spec={"a": 1}), user=user)))
            assert f"refuses {kind.kind}.{kind.group} shop/allow-all" in message
            assert "SecurityPolicy" in message

    def test_elsewhere_they_may(self, kind: ForeignPolicy) -> None:
        for enroll in ("", "audit"):
            assert ask(FakeCluster([namespace("shop", enroll)]), about(kind, foreign(kind)))["allowed"]

    def test_ringfences_label_means_nothing_on_them(self, cluster: FakeCluster, kind: ForeignPolicy) -> None:
        claimed = foreign(kind, spec={"a": 1})
        claimed["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "ringfence"}
        refused(ask(cluster, about(kind, claimed)))
        assert ask(cluster, about(kind, claimed, foreign(kind, spec={"a": 1})))["allowed"]

    def test_one_from_before_changes_in_nothing_that_it_says(self, cluster: FakeCluster, kind: ForeignPolicy) -> None:
        before = foreign(kind, spec={"a": 1}, status={"seen": False})
        assert ask(cluster, about(kind, {**before, "status": {"seen": True}}, before))["allowed"]
        for content in ({"spec": {"a": 2}}, {"spec": {"a": 1}, "specs": [{}]}, {"specs": [{"a": 1}]}, {}):
            refused(ask(cluster, about(kind, foreign(kind, **content), before)))

    def test_it_may_go(self, cluster: FakeCluster, kind: ForeignPolicy) -> None:
        assert ask(cluster, about(kind, None, foreign(kind)))["allowed"]


class TestOwnKinds:
    def test_every_error_is_named_with_its_field(self, cluster: FakeCluster) -> None:
        rules = [{"name": "a", "from": [], "ports": [99999]}, {"name": "a", "action": "Permit"}]
        policy = {
            "apiVersion": "ringfence.dev/v1alpha1",
            "kind": "SecurityPolicy",
            "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"ingress": rules},
        }
        message = refused(ask(cluster, encoded(policy)))
        for field in ("spec.ingress[0].from", "spec.ingress[0].ports[0]", "spec.ingress[1].action"):
            assert field in message

    def test_one_service_account_has_one_identity(self, cluster: FakeCluster) -> None:
        twin = identity("shop", "twin", serviceAccountName="payments")
        assert "ServiceIdentity payments" in refused(ask(cluster, encoded(twin)))
        assert ask(cluster, encoded(identity("shop", "payments")))["allowed"]
        assert ask(cluster, encoded(identity("other", "twin", serviceAccountName="payments")))["allowed"]

    def test_a_control_that_does_not_exist_frees_nobody_and_is_refused(self, cluster: FakeCluster) -> None:
        given = {
            "name": "e",
            "namespace": "shop",
            "identities": ["default"],
            "controls": ["privilegd"],
            "reason": "x",
            "until": "2099-01-01T00:00:00Z",
        }
        message = refused(ask(cluster, encoded(floor("f", "baseline", exceptions=[given]))))
        assert "spec.exceptions[0].controls" in message
        assert "privilegd is no control" in message

    def test_a_key_that_no_signature_can_be_checked_with_is_refused(self, cluster: FakeCluster) -> None:
        pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
        rule = {"name": "release", "images": ["*"], "keys": [pem]}
        message = refused(ask(cluster, encoded(floor("f", "baseline", admission={"images": {"signatures": [rule]}}))))
        assert "spec.admission.images.signatures[name=release].keys: one is no public key" in message

    def test_an_exception_that_has_ended_is_told(self, cluster: FakeCluster) -> None:
        given = {
            "name": "e",
            "namespace": "shop",
            "identities": ["default"],
            "controls": ["privileged"],
            "reason": "x",
            "until": "2020-01-01T00:00:00Z",
        }
        response = ask(cluster, encoded(floor("f", "baseline", exceptions=[given])))
        assert response["allowed"]
        assert "frees nobody" in response["warnings"][0]

    def test_rules_about_requests_are_told_where_no_proxy_judges_them(self, cluster: FakeCluster) -> None:
        rules = [
            {"name": "some", "ports": [80], "http": [{"methods": ["GET"]}]},
            {
                "name": "none",
                "action": "Deny",
                "ports": [80],
                "when": [{"attribute": "request.headers[a]", "exists": True}],
            },
            {"name": "all", "ports": [80]},
        ]
        response = ask(cluster, encoded(floor("f", "baseline", ingress=rules)))
        assert response["allowed"]
        assert response["warnings"] == [
            "Ringfence: rule some is about requests, which no proxy judges here: it allows nothing",
            "Ringfence: rule none is about requests, which no proxy judges here: it denies every request",
        ]
        assert "warnings" not in ask(cluster, encoded(floor("f", "baseline", ingress=rules[2:])))

    def test_rules_that_can_never_match_are_told(self, cluster: FakeCluster) -> None:
        head = {"attribute": "request.headers[x]"}
        contradicting = [{**head, "exists": True}, {**head, "absent": True}]
        elsewhere = {"from": [{"identity": {"namespace": "a", "name": "b"}}]}
        rules = [
            {"name": "request", "ports": [80], "when": contradicting},
            {"name": "source", **elsewhere, "when": [{"attribute": "source.namespace", "in": ["c"]}]},
            {"name": "fine", **elsewhere, "when": [{"attribute": "source.namespace", "in": ["a"]}]},
        ]
        response = ask(cluster, encoded(floor("f", "baseline", ingress=rules)))
        assert response["allowed"]
        assert [each.partition(":")[2].strip()[:30] for each in response["warnings"]][:2] == [
            "rule request matches no reques",
            "rule source matches nobody: it",
        ]

    def test_what_leaves_the_spec_alone_passes_though_it_is_invalid_by_now(self, cluster: FakeCluster) -> None:
        old = floor("f", "nonsense")
        old["metadata"]["finalizers"] = ["x/y"]
        assert ask(cluster, encoded(floor("f", "nonsense"), old))["allowed"]
        refused(ask(cluster, encoded(floor("f", "nonsense"), floor("f", "baseline"))))

    def test_deletes_pass(self, cluster: FakeCluster) -> None:
        assert ask(cluster, encoded(None, floor("f", "baseline")))["allowed"]


class TestWarnings:
    def deployment(self, **spec: Any) -> dict[str, Any]:
        template = pod(labels={}, **spec)
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": template["spec"]}},
        }

    def warned(self, cluster: FakeCluster, body: bytes) -> list[str]:
        response = ask(cluster, body, Purpose.WARN)
        assert response["allowed"]
        return list(response.get("warnings", ()))

    def test_a_workload_is_never_refused_but_its_author_is_told(self, cluster: FakeCluster) -> None:
        (warning,) = self.warned(cluster, encoded(self.deployment(hostPID=True)))
        assert "will be refused" in warning
        assert "spec.template.spec.hostPID" in warning

    def test_a_good_one_is_quiet(self, cluster: FakeCluster) -> None:
        assert self.warned(cluster, encoded(self.deployment())) == []

    def test_only_a_template_that_changes_is_told_of(self, cluster: FakeCluster) -> None:
        old, new = self.deployment(hostPID=True), self.deployment(hostPID=True)
        new["spec"]["replicas"] = 3
        assert self.warned(cluster, encoded(new, old)) == []

    @pytest.mark.parametrize("spec", [None, {}, {"template": None}, {"template": 7}])
    def test_a_broken_one_is_the_api_servers_business(self, cluster: FakeCluster, spec: Any) -> None:
        self.warned(cluster, encoded({**self.deployment(), "spec": spec}))

    def test_elsewhere_nothing_is_said(self) -> None:
        assert self.warned(FakeCluster([namespace("shop")]), encoded(self.deployment(hostPID=True))) == []
        assert self.warned(FakeCluster([]), encoded(self.deployment(hostPID=True))) == []

    def test_an_identity_that_goes_is_told(self, cluster: FakeCluster) -> None:
        (warning,) = self.warned(cluster, encoded(None, identity("shop", "payments")))
        assert "ServiceAccount payments" in warning
