"""The backstop around identities, with nothing of Ringfence's running: who writes Secrets and bundles, and has rights.

The attacks are those of somebody who may do everything in a namespace but enrol it.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.reconcile.secret_access import binding

from tests.component import webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import CONTROLLER, ENROLL, OWN, Rig, identity, until

pytestmark = pytest.mark.component

TENANT = "tenant"
PLATFORM = "platform"
#: The controller, with every right that RBAC can give.
BY_CONTROLLER: dict[str, Any] = {"user": CONTROLLER, "groups": ["system:masters"]}
BY_ADMIN: dict[str, Any] = {"user": "admin", "groups": ["system:masters"]}
EVERYTHING = ["create", "update", "patch", "delete", "deletecollection", "get", "list"]
RBAC = "rbac.authorization.k8s.io"
OURS = {"app.kubernetes.io/managed-by": "ringfence"}
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

#: Those of Kubernetes' controllers that write or delete what is looked at here.
CONTROLLERS = ("garbage-collector-controller", "root-ca-certificate-publisher-controller")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    place = tmp_path_factory.mktemp("backstop-identities")
    with webhook_rig.rig("backstop-identities", place, webhook=False) as made:
        # Now that the CRDs are there: the garbage collector looks for new kinds every 30 seconds only.
        made.plane.start_controllers(CONTROLLERS, name="collectors", as_themselves=True)
        made.namespace("shop", "enforce")
        made.namespace("audited", "audit")
        made.namespace("plain")
        rules: list[tuple[str, list[str], list[str]]] = [
            ("", ["pods", "pods/ephemeralcontainers", "configmaps", "secrets", "namespaces"], EVERYTHING),
            (RBAC, ["rolebindings", "clusterrolebindings"], EVERYTHING),
            (RBAC, ["clusterroles"], ["bind"]),
            ("ringfence.dev", ["serviceidentities"], EVERYTHING),
        ]
        made.grant(TENANT, rules)
        made.grant(PLATFORM, [*rules, ("ringfence.dev", ["clustersecuritypolicies"], ["enroll"])])
        for namespace in ("shop", "audited", "plain"):
            account = {"name": "payments", "namespace": namespace}
            assert made.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}).ok
        yield made


def held(reply: Reply, policy: str) -> bool:
    """Refused by this policy and by nothing else."""
    return not reply.ok and f"'{policy}'" in reply.message


NAMED = "payments-identity"

# --- who may change what is Ringfence's -------------------------------------------------------------------------


def config_map(namespace: str, name: str = "ringfence-trust-bundle", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": "x"}}


def secret(namespace: str, name: str = NAMED, owner: str = "", **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels}
    if owner:
        reference = {"apiVersion": "ringfence.dev/v1alpha1", "kind": "ServiceIdentity", "name": "payments"}
        metadata["ownerReferences"] = [{**reference, "uid": owner, "controller": True, "blockOwnerDeletion": False}]
    data = {"tls.crt": "eA==", "tls.key": "eA=="}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


IDENTITY_LABELS = {**OURS, "ringfence.dev/purpose": "identity"}
BUNDLE_LABELS = {**OURS, "ringfence.dev/purpose": "certificates"}
FORGED = {
    "trust bundle": lambda namespace: config_map(namespace, **BUNDLE_LABELS),
    "trust bundle without labels": config_map,
    "ConfigMap with labels": lambda namespace: config_map(namespace, "other", **OURS),
    "Secret with labels": lambda namespace: secret(namespace, "other", **IDENTITY_LABELS),
    "Secret of an identity": lambda namespace: secret(namespace, **IDENTITY_LABELS),
    "Secret by its name": secret,
}
PATHS = {
    "ConfigMap": "/api/v1/namespaces/shop/configmaps/ringfence-trust-bundle",
    "Secret": f"/api/v1/namespaces/shop/secrets/{NAMED}",
}
CHANGES: dict[str, dict[str, Any]] = {
    "data": {"data": {"ca.crt": "eQ=="}},
    "more data": {"data": {"more": "eQ=="}},
    "immutable": {"immutable": True},
    "label gone": {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}},
    "label more": {"metadata": {"labels": {"a": "b"}}},
    "annotation": {"metadata": {"annotations": {"ringfence.dev/identity-of": "checkout"}}},
    "finalizer": {"metadata": {"finalizers": ["x.example/y"]}},
}
#: What only one of the kinds has.
MORE = [("ConfigMap", {"binaryData": {"more": "eQ=="}}), ("Secret", {"metadata": {"ownerReferences": None}})]


class TestObjects:
    @pytest.fixture
    def mine(self, rig: Rig) -> Iterator[None]:
        """Trust bundle and Secret in `shop`, as the controller writes them."""
        assert rig.api.apply(identity("shop", "payments")).ok
        path = "/apis/ringfence.dev/v1alpha1/namespaces/shop/serviceidentities/payments"
        uid = rig.api.request("GET", path).body["metadata"]["uid"]
        for obj in (config_map("shop", **BUNDLE_LABELS), secret("shop", owner=uid, **IDENTITY_LABELS)):
            reply = rig.api.apply(obj, **BY_CONTROLLER)
            assert reply.ok, reply.message
        yield
        for each in PATHS.values():
            rig.api.request("DELETE", each, **BY_CONTROLLER)

    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    @pytest.mark.parametrize("what", FORGED)
    def test_nobody_forges_them(self, rig: Rig, namespace: str, what: str) -> None:
        made = FORGED[what](namespace)
        for who in ({"user": TENANT}, {"user": PLATFORM}, BY_ADMIN):
            assert held(rig.api.create(made, **who), "ringfence-objects")
            assert held(rig.api.apply(made, **who), "ringfence-objects")

    @pytest.mark.parametrize("what", FORGED)
    def test_elsewhere_they_mean_nothing(self, rig: Rig, what: str) -> None:
        assert rig.api.create(FORGED[what]("plain"), dry_run=True, user=TENANT).ok

    @pytest.mark.parametrize(
        ("kind", "change"), [*((kind, change) for kind in PATHS for change in CHANGES.values()), *MORE]
    )
    def test_nobody_changes_them(self, rig: Rig, mine: None, kind: str, change: dict[str, Any]) -> None:
        before = rig.api.request("GET", PATHS[kind]).body
        for who in ({"user": TENANT}, {"user": PLATFORM}):
            assert held(rig.api.merge(PATHS[kind], change, **who), "ringfence-objects")
        assert rig.api.request("GET", PATHS[kind]).body == before

    @pytest.mark.parametrize("kind", PATHS)
    def test_nor_by_other_ways_to_write(self, rig: Rig, mine: None, kind: str) -> None:
        patch = [{"op": "add", "path": "/data/more", "value": "eQ=="}]
        assert held(rig.api.request("PATCH", PATHS[kind], patch, media=JSON_PATCH, user=TENANT), "ringfence-objects")
        whole = rig.api.request("GET", PATHS[kind]).body
        whole["data"]["ca.crt"] = "eQ=="
        assert held(rig.api.request("PUT", PATHS[kind], whole, user=TENANT), "ringfence-objects")
        metadata = {"name": whole["metadata"]["name"], "namespace": "shop"}
        content = {key: whole[key] for key in ("data", "type") if key in whole}
        mine_too = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **content}
        assert held(rig.api.apply(mine_too, user=TENANT), "ringfence-objects")

    @pytest.mark.parametrize("kind", PATHS)
    def test_writing_them_as_they_are_is_free(self, rig: Rig, mine: None, kind: str) -> None:
        """That is how storage is encrypted anew: everything is read and replaced, without its managed fields."""
        whole = rig.api.request("GET", PATHS[kind]).body
        del whole["metadata"]["managedFields"]
        reply = rig.api.request("PUT", PATHS[kind], whole, user=TENANT)
        assert reply.ok, reply.message

    def test_nobodys_object_becomes_ringfences(self, rig: Rig) -> None:
        for made in (config_map("shop", "free"), secret("shop", "free")):
            assert rig.api.create(made, user=TENANT).ok
            path = f"/api/v1/namespaces/shop/{made['kind'].lower()}s/free"
            assert held(rig.api.merge(path, {"metadata": {"labels": OURS}}, user=TENANT), "ringfence-objects")
            assert rig.api.merge(path, {"data": {"a": "eA=="}, "metadata": {"labels": {"a": "b"}}}, user=TENANT).ok
            assert rig.api.request("DELETE", path, user=TENANT).ok

    @pytest.mark.parametrize("kind", PATHS)
    def test_a_tenant_cannot_delete_them_and_the_platform_can(self, rig: Rig, mine: None, kind: str) -> None:
        path = PATHS[kind]
        assert held(rig.api.request("DELETE", path, user=TENANT), "ringfence-objects")
        assert held(rig.api.request("DELETE", path.rpartition("/")[0], user=TENANT), "ringfence-objects")
        assert rig.api.request("GET", path).ok
        assert rig.api.request("DELETE", path, user=PLATFORM).ok
        assert rig.api.request("GET", path).status == 404

    @pytest.mark.parametrize("kind", PATHS)
    def test_the_end_of_one_is_held_up_by_nobody(self, rig: Rig, mine: None, kind: str) -> None:
        """A deletion in the foreground leaves a finalizer, which the garbage collector takes away."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        assert rig.api.request("DELETE", PATHS[kind], options, user=PLATFORM).ok
        until(lambda: rig.api.request("GET", PATHS[kind]).status == 404, 20)

    @pytest.mark.parametrize("policy", ["Background", "Foreground"])
    def test_a_secret_goes_with_its_identity(self, rig: Rig, mine: None, policy: str) -> None:
        self.delete_identity(rig, policy)
        until(lambda: rig.api.request("GET", PATHS["Secret"]).status == 404, 20)
        # In the foreground it is there for a little longer, and what the next test makes would be taken for its own.
        path = "/apis/ringfence.dev/v1alpha1/namespaces/shop/serviceidentities/payments"
        until(lambda: rig.api.request("GET", path).status == 404, 20)

    def test_a_secret_that_is_left_behind_holds_nothing_up(self, rig: Rig, mine: None) -> None:
        self.delete_identity(rig, "Orphan")
        path = "/apis/ringfence.dev/v1alpha1/namespaces/shop/serviceidentities/payments"
        until(lambda: rig.api.request("GET", path).status == 404, 20)
        left = rig.api.request("GET", PATHS["Secret"]).body["metadata"]
        assert "ownerReferences" not in left
        assert left["labels"] == IDENTITY_LABELS

    def delete_identity(self, rig: Rig, policy: str) -> None:
        path = "/apis/ringfence.dev/v1alpha1/namespaces/shop/serviceidentities/payments"
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        assert rig.api.request("DELETE", path, options, user=TENANT).ok

    def test_what_has_the_name_from_before_may_go(self, rig: Rig) -> None:
        rig.namespace("earlier")
        for made in (config_map("earlier"), secret("earlier")):
            assert rig.api.create(made, user=TENANT).ok
        assert rig.api.merge("/api/v1/namespaces/earlier", {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
        until(lambda: held(rig.api.create(secret("earlier", "x-identity"), dry_run=True), "ringfence-objects"), 10)
        at = "/api/v1/namespaces/earlier"
        assert rig.api.merge(f"{at}/secrets/{NAMED}", {"data": {"a": "eA=="}}, user=TENANT).ok
        assert held(rig.api.merge(f"{at}/configmaps/ringfence-trust-bundle", {"data": {"a": "b"}}), "ringfence-objects")
        for path in (f"{at}/secrets/{NAMED}", f"{at}/configmaps/ringfence-trust-bundle"):
            assert rig.api.request("DELETE", path, user=TENANT).ok

    def test_a_namespace_that_goes_takes_them_along(self, rig: Rig) -> None:
        rig.namespace("going", "enforce")
        for obj in (
            config_map("going", **BUNDLE_LABELS),
            secret("going", **IDENTITY_LABELS),
            binding("going", OWN),
        ):
            assert rig.api.create(obj, **BY_CONTROLLER).ok
        assert rig.api.request("DELETE", "/api/v1/namespaces/going", user=PLATFORM).ok
        until(lambda: rig.api.request("GET", "/api/v1/namespaces/going").status == 404, 30)

    def test_kubernetes_own_come_into_enrolled_namespaces(self, rig: Rig) -> None:
        until(lambda: rig.api.request("GET", "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt").ok, 20)


# --- who may have the right to Secrets --------------------------------------------------------------------------


def changed(namespace: str, **fields: Any) -> dict[str, Any]:
    """Ringfence's RoleBinding for a namespace, with these fields instead; ``name`` is the metadata's."""
    made = binding(namespace, OWN)
    made["metadata"]["name"] = fields.pop("name", made["metadata"]["name"])
    return {**made, **fields}


def everywhere(name: str = "ringfence-secrets") -> dict[str, Any]:
    made = {**binding("x", OWN), "kind": "ClusterRoleBinding", "metadata": {"name": name}}
    del made["metadata"]["name"]
    made["metadata"]["name"] = name
    return made


SUBJECT = {"kind": "ServiceAccount", "name": "ringfence-controller", "namespace": OWN}
OTHER_SUBJECTS: dict[str, Any] = {
    "nobody": None,
    "somebody else": [{"kind": "User", "apiGroup": RBAC, "name": TENANT}],
    "somebody beside it": [SUBJECT, {"kind": "Group", "apiGroup": RBAC, "name": "system:authenticated"}],
    "twice": [SUBJECT, SUBJECT],
    "another namespace": [{**SUBJECT, "namespace": "shop"}],
    "another name": [{**SUBJECT, "name": "default"}],
    "its user": [{"kind": "User", "apiGroup": RBAC, "name": CONTROLLER}],
}
VIEW = {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"}
POLICY = "ringfence-secret-rights"


class TestRights:
    @pytest.fixture
    def bound(self, rig: Rig) -> Iterator[str]:
        """Ringfence's RoleBinding in `shop`."""
        reply = rig.api.apply(binding("shop", OWN), **BY_CONTROLLER)
        assert reply.ok, reply.message
        path = f"/apis/{RBAC}/v1/namespaces/shop/rolebindings/ringfence-secrets"
        yield path
        rig.api.request("DELETE", path, **BY_CONTROLLER)

    @pytest.mark.parametrize("namespace", ["shop", "audited", "plain", "kube-system", OWN])
    @pytest.mark.parametrize("name", ["ringfence-secrets", "mine"])
    def test_nobody_else_binds_the_role(self, rig: Rig, namespace: str, name: str) -> None:
        for who in ({"user": TENANT}, {"user": PLATFORM}, BY_ADMIN):
            assert held(rig.api.create(changed(namespace, name=name), **who), POLICY)
            assert held(rig.api.create(everywhere(name), **who), POLICY)

    @pytest.mark.parametrize("namespace", ["plain", "kube-system", "default", OWN])
    def test_ringfence_binds_it_in_enrolled_namespaces_only(self, rig: Rig, namespace: str) -> None:
        assert held(rig.api.apply(binding(namespace, OWN), **BY_CONTROLLER), POLICY)

    def test_and_never_for_the_whole_cluster(self, rig: Rig) -> None:
        assert held(rig.api.create(everywhere(), **BY_CONTROLLER), POLICY)

    def test_and_by_one_name(self, rig: Rig) -> None:
        assert held(rig.api.create(changed("shop", name="other"), **BY_CONTROLLER), POLICY)

    @pytest.mark.parametrize("subjects", OTHER_SUBJECTS)
    def test_and_to_itself_alone(self, rig: Rig, subjects: str) -> None:
        made = changed("shop", subjects=OTHER_SUBJECTS[subjects])
        assert held(rig.api.create(made, **BY_CONTROLLER), POLICY)

    def test_and_no_other_role_by_that_name(self, rig: Rig) -> None:
        for who in (BY_CONTROLLER, {"user": TENANT}):
            assert held(rig.api.create(changed("shop", roleRef=VIEW), **who), POLICY)

    @pytest.mark.parametrize("namespace", ["shop", "audited"])
    def test_there_it_does(self, rig: Rig, namespace: str) -> None:
        reply = rig.api.create(binding(namespace, OWN), dry_run=True, **BY_CONTROLLER)
        assert reply.ok, reply.message

    def test_nobody_changes_it(self, rig: Rig, bound: str) -> None:
        changes = (
            *({"subjects": each} for each in OTHER_SUBJECTS.values()),
            {"metadata": {"labels": None}},
            {"metadata": {"finalizers": ["x.example/y"]}},
        )
        for change in changes:
            for who in ({"user": TENANT}, {"user": PLATFORM}):
                assert held(rig.api.merge(bound, change, **who), POLICY)
        for change in changes[: len(OTHER_SUBJECTS)]:
            assert held(rig.api.merge(bound, change, **BY_CONTROLLER), POLICY)

    def test_a_tenant_cannot_delete_it_and_the_platform_can(self, rig: Rig, bound: str) -> None:
        assert held(rig.api.request("DELETE", bound, user=TENANT), POLICY)
        assert held(rig.api.request("DELETE", bound.rpartition("/")[0], user=TENANT), POLICY)
        assert rig.api.request("GET", bound).ok
        assert rig.api.request("DELETE", bound, user=PLATFORM).ok

    def test_its_end_is_held_up_by_nobody(self, rig: Rig, bound: str) -> None:
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        assert rig.api.request("DELETE", bound, options, user=PLATFORM).ok
        until(lambda: rig.api.request("GET", bound).status == 404, 20)

    def test_ringfence_takes_it_back_where_nothing_is_enrolled_any_more(self, rig: Rig) -> None:
        rig.namespace("leaving", "audit")
        until(lambda: rig.api.create(binding("leaving", OWN), **BY_CONTROLLER).ok, 5)
        assert rig.api.merge("/api/v1/namespaces/leaving", {"metadata": {"labels": {ENROLL: None}}}).ok
        until(lambda: held(rig.api.apply(changed("leaving", name="x"), **BY_CONTROLLER), POLICY), 5)
        path = f"/apis/{RBAC}/v1/namespaces/leaving/rolebindings/ringfence-secrets"
        assert rig.api.request("DELETE", path, **BY_CONTROLLER).ok

    def test_other_bindings_are_free(self, rig: Rig) -> None:
        for namespace in ("shop", "plain"):
            made = changed(namespace, name="free", roleRef=VIEW, subjects=OTHER_SUBJECTS["somebody else"])
            assert rig.api.create(made, user=TENANT).ok
            path = f"/apis/{RBAC}/v1/namespaces/{namespace}/rolebindings/free"
            assert rig.api.merge(path, {"subjects": [SUBJECT]}, user=TENANT).ok
            assert rig.api.request("DELETE", path, user=TENANT).ok
