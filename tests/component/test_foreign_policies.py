"""Strangers' policies in networks' own kinds, on a real API server: the kinds come after the rules about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ringfence.model.foreign_policies import FOREIGN, ForeignPolicy
from ringfence.translate.backstop import form, network_policies

from tests.component import foreign_kinds, webhook_rig
from tests.component.requests_as import Reply
from tests.component.webhook_rig import CONTROLLER, ENROLL, Rig, until

pytestmark = pytest.mark.component

TENANT = "tenant"
EVERYTHING = ["create", "update", "patch", "delete", "deletecollection", "get", "list"]
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"
CLUSTERWIDE = ForeignPolicy("cilium.io", "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy")
each_kind = pytest.mark.parametrize("kind", FOREIGN, ids=lambda each: f"{each.plural}.{each.group}")


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes objects of one kind, as somebody whom RBAC lets do anything to them."""

    rig: Rig
    kind: ForeignPolicy
    user: str = TENANT

    def path(self, namespace: str, name: str = "") -> str:
        return foreign_kinds.path(self.kind, namespace, name)

    def object(self, namespace: str, name: str, **content: Any) -> dict[str, Any]:
        return foreign_kinds.allow_all(self.kind, namespace, name, **content)

    def create(self, namespace: str, name: str, *, dry_run: bool = True, **content: Any) -> Reply:
        path = self.path(namespace) + ("?dryRun=All" if dry_run else "")
        return self.rig.api.request("POST", path, self.object(namespace, name, **content), user=self.user)

    def apply(self, namespace: str, name: str) -> Reply:
        path = self.path(namespace, name) + "?fieldManager=test&dryRun=All"
        media = "application/apply-patch+yaml"
        return self.rig.api.request("PATCH", path, self.object(namespace, name), user=self.user, media=media)

    def merge(self, namespace: str, name: str, patch: dict[str, Any], subresource: str = "") -> Reply:
        return self.rig.api.merge(self.path(namespace, name) + subresource, patch, user=self.user)

    def delete(self, namespace: str, name: str = "") -> Reply:
        return self.rig.api.request("DELETE", self.path(namespace, name), user=self.user)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The webhook and the backstop are in force before any of the kinds exists."""
    with webhook_rig.rig("foreign", tmp_path_factory.mktemp("foreign")) as made:
        made.enforced("shop")
        made.namespace("audited", "audit")
        made.namespace("plain")
        made.namespace("later")
        for kind in (*FOREIGN, CLUSTERWIDE):
            reply = made.api.apply(foreign_kinds.definition(kind, namespaced=kind is not CLUSTERWIDE))
            assert reply.ok, reply.message
        made.grant(TENANT, [(each.group, [each.plural, f"{each.plural}/status"], EVERYTHING) for each in FOREIGN])
        made.grant("platform", [(CLUSTERWIDE.group, [CLUSTERWIDE.plural], EVERYTHING)])
        for kind in FOREIGN:
            until(lambda kind=kind: Writer(made, kind).create("plain", "probe").ok, 30)
        yield made


@pytest.fixture(scope="module")
def before(rig: Rig) -> str:
    """A namespace that is enforced after tenants have written one of each kind."""
    for kind in FOREIGN:
        for name in ("one", "two", "three"):
            reply = Writer(rig, kind).create("later", name, dry_run=False)
            assert reply.ok, reply.message
    assert rig.api.merge("/api/v1/namespaces/later", {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
    until(lambda: held(Writer(rig, FOREIGN[0]).create("later", "x")), 20)
    return "later"


@pytest.fixture
def webhook_alone(rig: Rig) -> Iterator[Rig]:
    """While the policy inside the API server is not bound."""
    first = Writer(rig, FOREIGN[0])
    assert rig.api.request("DELETE", f"{BINDINGS}/{network_policies.NAME}").ok
    until(lambda: not held(first.create("shop", "x")), 20)
    yield rig
    assert rig.api.apply(form.binding(network_policies.NAME)).ok
    until(lambda: held(first.create("shop", "x")), 20)


def held(reply: Reply) -> bool:
    """Refused by the policy inside the API server."""
    return reply.status == 403 and f"'{network_policies.NAME}'" in reply.message and "SecurityPolicy" in reply.message


@each_kind
def test_nobody_writes_them_where_ringfence_enforces(rig: Rig, kind: ForeignPolicy) -> None:
    for user, groups in ((TENANT, []), (CONTROLLER, ["system:masters"]), ("root", ["system:masters"])):
        writer = Writer(rig, kind)
        body = writer.object("shop", "allow-all")
        path = writer.path("shop") + "?dryRun=All"
        assert held(rig.api.request("POST", path, body, user=user, groups=groups))
    assert held(Writer(rig, kind).apply("shop", "allow-all"))
    assert held(Writer(rig, kind).create("shop", "allow-all", specs=[{"ingress": [{}]}]))


@each_kind
@pytest.mark.parametrize("namespace", ["plain", "audited"])
def test_elsewhere_they_are_nobodys_business(rig: Rig, kind: ForeignPolicy, namespace: str) -> None:
    writer = Writer(rig, kind)
    assert writer.create(namespace, "free", dry_run=False).ok
    assert writer.merge(namespace, "free", {"spec": {"egress": [{}]}}).ok
    assert writer.delete(namespace, "free").ok


def test_the_webhook_refuses_them_by_itself(webhook_alone: Rig) -> None:
    for kind in FOREIGN:
        reply = Writer(webhook_alone, kind).create("shop", "allow-all")
        assert reply.status == 403
        assert f"Ringfence refuses {kind.kind}.{kind.group} shop/allow-all" in reply.message
        assert Writer(webhook_alone, kind).create("audited", "allow-all").ok


@each_kind
def test_one_from_before_changes_in_nothing_that_it_says(rig: Rig, before: str, kind: ForeignPolicy) -> None:
    writer = Writer(rig, kind)
    for patch in (
        {"spec": {"egress": [{}]}},
        {"spec": None},
        {"specs": [{"ingress": [{}]}]},
        {"spec": None, "specs": [{"podSelector": {}, "ingress": [{}]}]},
    ):
        assert held(writer.merge(before, "one", patch)), patch
    assert writer.merge(before, "one", {"metadata": {"annotations": {"a": "b"}}}).ok
    assert writer.merge(before, "one", {"status": {"enforced": True}}, "/status").ok
    assert not held(writer.merge(before, "one", {"spec": {"egress": [{}]}}, "/status"))
    assert "egress" not in rig.api.request("GET", writer.path(before, "one")).body["spec"]
    assert writer.delete(before, "one").ok


@each_kind
def test_ringfences_label_frees_it_of_nothing_and_keeps_it_from_nothing(
    rig: Rig, before: str, kind: ForeignPolicy
) -> None:
    writer = Writer(rig, kind)
    claim = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "ringfence"}}}
    assert writer.merge(before, "two", claim).ok
    assert held(writer.merge(before, "two", {"spec": {"egress": [{}]}}))
    assert writer.delete(before, "two").ok


@each_kind
def test_one_that_is_being_deleted_opens_nothing_more_and_goes(rig: Rig, before: str, kind: ForeignPolicy) -> None:
    writer = Writer(rig, kind)
    assert writer.merge(before, "three", {"metadata": {"finalizers": ["x.example/y"]}}).ok
    assert writer.delete(before, "three").ok
    assert held(writer.merge(before, "three", {"specs": [{"ingress": [{}]}]}))
    assert writer.merge(before, "three", {"metadata": {"finalizers": None}}).ok
    assert rig.api.request("GET", writer.path(before, "three")).status == 404


def test_a_namespace_that_goes_takes_them_along(rig: Rig) -> None:
    rig.namespace("going")
    for kind in FOREIGN:
        assert Writer(rig, kind).create("going", "left", dry_run=False).ok
    assert rig.api.merge("/api/v1/namespaces/going", {"metadata": {"labels": {ENROLL: "enforce"}}}).ok
    until(lambda: held(Writer(rig, FOREIGN[0]).create("going", "x")), 20)
    assert rig.api.request("DELETE", "/api/v1/namespaces/going").ok
    until(lambda: rig.api.request("GET", "/api/v1/namespaces/going").status == 404, 60)


def test_kinds_for_the_whole_cluster_are_for_whom_rbac_lets(rig: Rig) -> None:
    until(lambda: Writer(rig, CLUSTERWIDE, "platform").create("", "all").ok, 30)
    reply = Writer(rig, CLUSTERWIDE).create("", "all")
    assert reply.status == 403
    assert not held(reply)
