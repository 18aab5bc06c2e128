"""The guards of the cluster: written whole, never dropped for want of a certificate, floors told what they come to."""

import asyncio
import itertools
from typing import Any

import pytest
from ringfence import api
from ringfence.model import labels
from ringfence.model.effective import Finding
from ringfence.model.errors import RingfenceError
from ringfence.model.world import Installation
from ringfence.reconcile import gather
from ringfence.reconcile.cluster import ClusterListers, ClusterReconciler, ca_bundles
from ringfence.reconcile.serving import ServingCertificates
from ringfence.reconcile.session_scopes import REMEMBERED_SECONDS, SessionScopes
from ringfence.reconcile.status import Share
from ringfence.translate import admission_policy, webhook_config
from ringfence.translate.sessions import Sessions

from tests.unit.reconcile import fakes


class Rig:
    def __init__(self) -> None:
        self.cluster = fakes.FakeCluster()
        self.events = fakes.FakeEvents()
        means = fakes.means(self.cluster, self.events)
        serials = itertools.count(1)
        secrets = self.cluster.lister("Secret")
        listers = ClusterListers(
            mutating_webhooks=self.cluster.lister("MutatingWebhookConfiguration"),
            validating_webhooks=self.cluster.lister("ValidatingWebhookConfiguration"),
            admission_policies=self.cluster.lister("ValidatingAdmissionPolicy"),
            admission_policy_bindings=self.cluster.lister("ValidatingAdmissionPolicyBinding"),
            cluster_policies=self.cluster.lister("ClusterSecurityPolicy"),
        )
        self.gatherer = gather.Gatherer(fakes.listers(self.cluster), api.parse, Installation)
        self.reconciler = ClusterReconciler(
            listers,
            self.gatherer,
            ServingCertificates(secrets, secrets, means, lambda: next(serials), "ringfence-system"),
            means,
            policies=lambda installation, placed: admission_policy.objects(installation, placed=placed),
            webhooks=lambda installation, bundle, sessions: webhook_config.objects(
                installation, webhook_config.Endpoint(ca_bundle=bundle), sessions=sessions
            ),
        )

    def reconcile(self, shares: dict[str, dict[str, Share]] | None = None) -> float:
        return asyncio.run(self.reconciler.reconcile(shares or {}))

    def webhooks(self) -> list[dict[str, Any]]:
        kinds = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
        return [obj for kind in kinds for obj in self.cluster.lister(kind).list()]


def test_everything_is_there_and_trusts_the_certificate() -> None:
    rig = Rig()
    assert rig.reconcile() == 0.0
    assert rig.cluster.names("ValidatingAdmissionPolicy") == list(admission_policy.NAMES)
    assert rig.cluster.names("ValidatingAdmissionPolicyBinding") == list(admission_policy.NAMES)
    assert [each["metadata"]["name"] for each in rig.webhooks()] == ["ringfence", "ringfence"]
    assert all(b"BEGIN CERTIFICATE" in bundle for bundle in ca_bundles(rig.webhooks()))


def test_a_second_look_writes_nothing() -> None:
    rig = Rig()
    rig.reconcile()
    rig.cluster.writes.clear()
    rig.reconcile()
    assert rig.cluster.writes == []


def test_without_a_certificate_no_webhook_is_written_and_none_is_taken_away() -> None:
    rig = Rig()
    rig.cluster.errors["create", "Secret", "ringfence-serving-ca"] = RingfenceError("no rights")
    with pytest.raises(RingfenceError, match="no rights"):
        rig.reconcile()
    assert rig.webhooks() == []
    assert rig.cluster.names("ValidatingAdmissionPolicy") == list(admission_policy.NAMES)
    rig.cluster.errors.clear()
    rig.reconcile()
    rig.cluster.errors["create", "Secret", "ringfence-serving-ca"] = RingfenceError("no rights")
    del rig.cluster.objects["Secret", "ringfence-system", "ringfence-serving-ca"]
    with pytest.raises(RingfenceError):
        rig.reconcile()
    assert len(rig.webhooks()) == 2


def test_an_old_admission_policy_of_ours_goes_and_others_stay() -> None:
    rig = Rig()
    rig.reconcile()
    ours = rig.cluster.objects["ValidatingAdmissionPolicy", "", "ringfence-pods"]
    rig.cluster.put({**ours, "metadata": {"name": "ringfence-former", "labels": ours["metadata"]["labels"]}})
    rig.cluster.put({**ours, "metadata": {"name": "theirs"}})
    rig.reconcile()
    assert rig.cluster.names("ValidatingAdmissionPolicy") == [*admission_policy.NAMES, "theirs"]


def test_a_floor_says_where_it_holds() -> None:
    rig = Rig()
    rig.cluster.put(fakes.cluster_policy("floor"), fakes.cluster_policy("idle"))
    rig.reconcile({"a": {"floor": Share((), 2, 3)}, "b": {"floor": Share((), 1, 1)}})
    held = rig.cluster.find("ClusterSecurityPolicy", "", "floor")
    assert held is not None
    assert (held["status"]["networkPolicies"], held["status"]["pods"]) == (3, 4)
    assert fakes.condition(held)["message"] == "holds in 2 enrolled namespaces"
    assert fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "idle"))["status"] == "True"


def test_what_is_found_in_any_namespace_is_said_once() -> None:
    rig = Rig()
    rig.cluster.put(fakes.cluster_policy("floor"))
    finding = Finding(("ClusterSecurityPolicy", "", "floor"), "UnknownNamespace", "rule a names b, which is not there")
    other = Finding(("ClusterSecurityPolicy", "", "another"), "UnknownZone", "not about this one")
    rig.reconcile({each: {"floor": Share((finding, other), 0, 0)} for each in "ab"})
    said = fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "floor"))
    assert (said["status"], said["reason"], said["message"]) == ("False", "UnknownNamespace", finding.message)
    told = [each for each in rig.events.told if each[1] != "Secret"]
    assert told == [("Warning", "ClusterSecurityPolicy", "floor", "UnknownNamespace")]


def test_an_invalid_floor_keeps_its_last_good_version_and_says_so() -> None:
    rig = Rig()
    rig.cluster.put(fakes.cluster_policy("floor"))
    rig.reconcile()
    rig.cluster.put(fakes.cluster_policy("floor", namespaceSelector="everything"))
    rig.reconcile()
    said = fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "floor"))
    assert (said["status"], said["reason"]) == ("False", "InvalidResource")
    assert "last good version stays in force" in said["message"]


CLOSING = {"sessions": {"forbidExec": True}}


def _session_webhooks(rig: Rig) -> list[str]:
    return [
        each["name"]
        for obj in rig.webhooks()
        for each in obj["webhooks"]
        if any("CONNECT" in rule["operations"] for rule in each["rules"])
    ]


def test_the_api_server_asks_about_sessions_while_a_policy_closes_them() -> None:
    rig = Rig()
    rig.cluster.put(fakes.namespace("shop", "enforce"))
    rig.reconcile()
    assert _session_webhooks(rig) == []
    rig.cluster.put(fakes.cluster_policy("floor", admission=CLOSING))
    rig.reconcile()
    assert _session_webhooks(rig) == ["sessions.ringfence.dev", "session-reports.ringfence.dev"]
    del rig.cluster.objects["ClusterSecurityPolicy", "", "floor"]
    rig.reconcile()
    assert _session_webhooks(rig) == []


def test_a_floor_that_closes_sessions_is_not_in_force_while_nobody_asks() -> None:
    rig = Rig()
    rig.cluster.put(fakes.cluster_policy("floor", admission=CLOSING), fakes.cluster_policy("other"))
    rig.cluster.errors["apply", "ValidatingWebhookConfiguration", "ringfence"] = RingfenceError("no rights")
    with pytest.raises(RingfenceError, match="no rights"):
        rig.reconcile()
    said = fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "floor"))
    assert (said["status"], said["reason"]) == ("False", "NotApplied")
    assert "no rights" in said["message"]
    assert fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "other"))["status"] == "True"
    rig.cluster.errors.clear()
    rig.reconcile()
    assert fakes.condition(rig.cluster.find("ClusterSecurityPolicy", "", "floor"))["status"] == "True"


def test_a_namespaces_own_policy_has_the_webhook_written_once() -> None:
    rig = Rig()
    policy = fakes.policy("shop", "payments", [("shop", "checkout")], admission=CLOSING)
    rig.cluster.put(fakes.namespace("shop", "enforce"), policy)
    assert rig.reconciler.differs("shop")
    asyncio.run(rig.reconciler.ask_about_sessions("shop"))
    assert _session_webhooks(rig) == ["sessions.ringfence.dev"]
    rig.reconcile()
    assert not rig.reconciler.differs("shop")
    rig.cluster.writes.clear()
    asyncio.run(rig.reconciler.ask_about_sessions("shop"))
    assert rig.cluster.writes == []
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout")]))
    assert rig.reconciler.differs("shop")
    rig.reconcile()
    assert _session_webhooks(rig) == []


def test_what_is_remembered_of_sessions_is_looked_at_anew_when_a_namespace_is_or_after_a_while() -> None:
    cluster, clock = fakes.FakeCluster(), fakes.FakeClock()
    scopes = SessionScopes(gather.Gatherer(fakes.listers(cluster), api.parse, Installation), clock.monotonic)
    cluster.put(fakes.namespace("shop", "enforce"), fakes.namespace("bank", "enforce"))
    assert scopes.everywhere() == Sessions()
    for name in ("shop", "bank"):
        cluster.put(fakes.policy(name, "payments", [("shop", "checkout")], admission=CLOSING))
    assert scopes.differs("shop")
    (box,) = scopes.everywhere().closed
    assert box.get("kubernetes.io/metadata.name") == labels.one_of("shop")
    clock.seconds += REMEMBERED_SECONDS
    (box,) = scopes.everywhere().closed
    assert box.get("kubernetes.io/metadata.name") == labels.one_of("shop", "bank")


def test_a_policy_that_was_never_understood_may_close_sessions() -> None:
    rig = Rig()
    rig.cluster.put(fakes.namespace("shop", "enforce"), fakes.namespace("audited", "audit"))
    rig.reconcile()
    for name in ("shop", "audited"):
        rig.cluster.put(fakes.policy(name, "spoilt", [("shop", "checkout")], mode="Perhaps"))
    assert rig.reconciler.differs("shop")
    assert not rig.reconciler.differs("audited")
    rig.reconcile()
    assert _session_webhooks(rig) == ["sessions.ringfence.dev"]
    rig.cluster.put(fakes.cluster_policy("floor", mode="Perhaps"), fakes.namespace("bank", "enforce"))
    rig.reconcile()
    selected = [each.get("namespaceSelector") for obj in rig.webhooks() for each in obj["webhooks"]]
    assert "bank" in str(selected)
