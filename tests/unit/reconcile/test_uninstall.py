"""Leaving: in an order that blocks nobody, again and again until nothing is left, and no more than Ringfence's."""

import asyncio
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE
from ringfence.reconcile import uninstall
from ringfence.translate.admission_policy import CONDITION_ENFORCED

from tests.unit.reconcile import fakes

GUARDS = (
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
)


class Rig:
    """A cluster with Ringfence in it; fulfils uninstall.Cluster."""

    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        own = {LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: "network"}
        for kind in GUARDS:
            self.cluster.put({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "ringfence", "labels": own}})
            self.cluster.put({"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "theirs"}})
        for name, labels in (
            ("ringfence-default-deny", own),
            ("theirs", {LABEL_MANAGED_BY: "ringfence"}),
        ):
            metadata = {"name": name, "namespace": "shop", "labels": labels}
            self.cluster.put({"apiVersion": "x/v1", "kind": "NetworkPolicy", "metadata": metadata})
        certificates = {LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: "certificates"}
        for kind, name in (("RoleBinding", "ringfence-secrets"), ("ConfigMap", "ringfence-trust-bundle")):
            for namespace, labels in (("shop", certificates), ("plain", {})):
                metadata = {"name": name, "namespace": namespace, "labels": labels}
                self.cluster.put({"apiVersion": "x/v1", "kind": kind, "metadata": metadata})
        for kind in ("PolicyReport", "Report"):
            for name, labels in (("ringfence", {**own, LABEL_PURPOSE: "scan"}), ("theirs", {})):
                metadata = {"name": name, "namespace": "shop", "labels": labels}
                self.cluster.put({"apiVersion": "x/v1", "kind": kind, "metadata": metadata})
        bundle = {"name": "ringfence.dev:identity:root", "labels": certificates}
        self.cluster.put({"apiVersion": "x/v1", "kind": "ClusterTrustBundle", "metadata": bundle})
        secret = {"name": "payments-identity", "namespace": "shop", "labels": certificates}
        self.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": secret})
        closed = {"conditions": [{"type": CONDITION_ENFORCED, "status": "True"}]}
        self.cluster.put(fakes.namespace("shop", "enforce") | {"status": closed}, fakes.namespace("plain"))
        self.pauses = 0

    async def list(self, kind: str, *, labels: str = "", name: str = "") -> list[dict[str, Any]]:
        found = [obj for obj in self.cluster.lister(kind).list() if name in {"", obj["metadata"]["name"]}]
        if not labels:
            return found
        key, _, value = labels.partition("=")
        return [obj for obj in found if obj["metadata"].get("labels", {}).get(key) == value]

    async def stop_controller(self) -> None:
        self.cluster.writes.append(("stop", "Deployment", "ringfence-controller"))

    async def pause(self, seconds: float) -> None:
        self.pauses += 1

    def keys(self) -> None:
        """Have Secrets there: Ringfence's three, one of an identity, and of others."""
        for namespace, name, purpose in (
            ("ringfence-system", "ringfence-ca", "ca"),
            ("ringfence-system", "ringfence-serving-ca", "serving"),
            ("ringfence-system", "ringfence-webhook-tls", "serving"),
            ("shop", "payments-identity", "identity"),
            ("shop", "ringfence-other", "ca"),
            ("shop", "theirs", ""),
        ):
            labels = {LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: purpose} if purpose else {}
            metadata = {"name": name, "namespace": namespace, "labels": labels}
            self.cluster.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})

    def run(self, *, secrets: bool = False) -> None:
        asyncio.run(uninstall.uninstall(self, self.cluster, secrets=secrets, pause=self.pause))


def test_the_order_blocks_nobody() -> None:
    rig = Rig()
    rig.run()
    assert [(verb, kind) for verb, kind, _ in rig.cluster.writes] == [
        ("stop", "Deployment"),
        *(("delete", kind) for kind in GUARDS),
        ("delete", "NetworkPolicy"),
        ("delete", "RoleBinding"),
        ("delete", "ClusterTrustBundle"),
        ("delete", "ConfigMap"),
        ("delete", "PolicyReport"),
        ("delete", "Report"),
        ("apply status", "Namespace"),
    ]


def test_only_what_is_ringfences_goes() -> None:
    rig = Rig()
    rig.run()
    for kind in GUARDS:
        assert rig.cluster.names(kind) == ["theirs"]
    assert rig.cluster.names("NetworkPolicy", "shop") == ["theirs"]
    for kind in ("RoleBinding", "ConfigMap"):
        assert rig.cluster.names(kind, "shop") == []
        assert len(rig.cluster.names(kind, "plain")) == 1
    for kind in ("PolicyReport", "Report"):
        assert rig.cluster.names(kind, "shop") == ["theirs"]
    assert rig.cluster.names("ClusterTrustBundle") == []
    assert rig.cluster.names("Secret", "shop") == ["payments-identity"]
    assert fakes.condition(rig.cluster.find("Namespace", "", "shop"), CONDITION_ENFORCED) == {}


def test_a_second_time_there_is_nothing_to_do() -> None:
    rig = Rig()
    rig.run()
    rig.cluster.writes.clear()
    rig.run()
    assert [verb for verb, _, _ in rig.cluster.writes] == ["stop"]


def test_what_resists_for_a_moment_is_tried_again() -> None:
    rig = Rig()
    what = ("delete", "NetworkPolicy", "ringfence-default-deny")
    rig.cluster.errors[what] = RingfenceError("admission policy still applies")
    pause = rig.pause

    async def relent(seconds: float) -> None:
        await pause(seconds)
        if rig.pauses == 3:
            del rig.cluster.errors[what]

    rig.pause = relent  # type: ignore[method-assign]
    rig.run()
    assert rig.cluster.names("NetworkPolicy", "shop") == ["theirs"]


def test_what_resists_to_the_end_is_said() -> None:
    rig = Rig()
    rig.cluster.errors["delete", "NetworkPolicy", "ringfence-default-deny"] = RingfenceError("no rights")
    with pytest.raises(RingfenceError, match="no rights"):
        rig.run()
    assert rig.cluster.names("ValidatingWebhookConfiguration") == ["theirs"]


def test_one_that_resists_does_not_keep_the_others() -> None:
    rig = Rig()
    metadata = {
        "name": "another",
        "namespace": "shop",
        "labels": {LABEL_MANAGED_BY: "ringfence", LABEL_PURPOSE: "network"},
    }
    rig.cluster.put({"apiVersion": "x/v1", "kind": "NetworkPolicy", "metadata": metadata})
    rig.cluster.errors["delete", "NetworkPolicy", "another"] = RingfenceError("no rights")
    with pytest.raises(RingfenceError):
        rig.run()
    assert rig.cluster.names("NetworkPolicy", "shop") == ["another", "theirs"]


def test_a_controller_that_restores_everything_is_suspected() -> None:
    rig = Rig()

    async def delete(*_: Any, **__: Any) -> None:
        return

    rig.cluster.delete = delete  # type: ignore[method-assign]
    with pytest.raises(RingfenceError, match="another controller"):
        rig.run()


def test_secrets_go_when_that_is_asked_for_and_the_ca_goes_last() -> None:
    rig = Rig()
    rig.keys()
    rig.run()
    assert not [each for each in rig.cluster.writes if each[1] == "Secret"]
    rig.cluster.writes.clear()
    rig.run(secrets=True)
    assert rig.cluster.writes[1:] == [
        ("delete", "Secret", "payments-identity"),
        ("delete", "Secret", "ringfence-webhook-tls"),
        ("delete", "Secret", "ringfence-serving-ca"),
        ("delete", "Secret", "ringfence-ca"),
    ]
    assert rig.cluster.names("Secret", "shop") == ["ringfence-other", "theirs"]


def test_no_secret_goes_while_something_else_resists() -> None:
    """The mark that there was a CA must go before the CA: what would be left is one that is lost."""
    rig = Rig()
    rig.keys()
    rig.cluster.errors["delete", "ConfigMap", "ringfence-trust-bundle"] = RingfenceError("no rights")
    with pytest.raises(RingfenceError, match="no rights"):
        rig.run(secrets=True)
    assert rig.cluster.names("Secret", "ringfence-system") == [
        "ringfence-ca",
        "ringfence-serving-ca",
        "ringfence-webhook-tls",
    ]
