"""A namespace ends as its policies say, wherever it started and wherever the last attempt was cut off."""

import asyncio
from typing import Any

import pytest
from ringfence.model.errors import RingfenceError
from ringfence.model.names import LABEL_IDENTITY
from ringfence.reconcile.apply import PartlyApplied
from ringfence.reconcile.namespaces import WRITES_AT_ONCE
from ringfence.translate.admission_policy import CONDITION_ENFORCED
from ringfence.translate.network_policy import DEFAULT_DENY

from tests.unit.reconcile import fakes
from tests.unit.reconcile.namespace_rig import ALLOW, shop


def test_an_enforced_namespace_closes_and_says_so() -> None:
    rig = shop()
    rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    assert ALLOW in rig.network_policies
    assert rig.enforced() | {"lastTransitionTime": ""} == {
        "type": CONDITION_ENFORCED,
        "status": "True",
        "reason": "Closed",
        "message": "everything that no rule allows is denied",
        "lastTransitionTime": "",
    }
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"], said["observedGeneration"]) == ("True", "InForce", 1)
    assert ("Normal", "Namespace", "shop", "Closed") in rig.events.told


def test_the_latch_comes_before_and_the_default_deny_last() -> None:
    rig = shop()
    rig.reconcile()
    verbs = [(verb, name) for verb, kind, name in rig.cluster.writes if kind in {"Namespace", "NetworkPolicy"}]
    assert verbs[0] == ("apply status", "shop")
    assert verbs[-1] == ("apply", DEFAULT_DENY)


def test_a_second_look_writes_nothing() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.writes.clear()
    rig.reconcile()
    rig.restart()
    rig.reconcile()
    assert rig.cluster.writes == []


def test_identities_tell_their_spiffe_id_and_their_pods() -> None:
    rig = shop("audit")
    rig.cluster.put(
        fakes.pod("shop", "a", "payments"),
        fakes.pod("shop", "old", serviceAccountName="payments"),
        fakes.pod("shop", "done", "payments", phase="Succeeded"),
    )
    rig.reconcile()
    held = rig.cluster.find("ServiceIdentity", "shop", "payments")
    assert held is not None
    assert held["status"]["spiffeID"] == "spiffe://cluster.local/ns/shop/sa/payments"
    assert held["status"]["workloads"] == {"enrolled": 1, "unenrolled": 1}
    assert rig.ready("ServiceIdentity", "payments")["reason"] == "Bound"


def test_an_audited_namespace_has_no_network_policies() -> None:
    rig = shop("audit")
    rig.reconcile()
    assert rig.network_policies == []
    assert rig.enforced() == {}
    assert rig.ready("SecurityPolicy", "payments")["reason"] == "Audit"


def test_a_namespace_that_is_not_enrolled_says_so_on_its_resources() -> None:
    rig = shop("")
    rig.reconcile()
    assert rig.network_policies == []
    for kind in ("SecurityPolicy", "ServiceIdentity"):
        said = rig.ready(kind, "payments")
        assert (said["status"], said["reason"]) == ("False", "NamespaceNotEnrolled")


def test_pods_from_before_keep_it_staged_until_they_are_gone() -> None:
    rig = shop()
    rig.cluster.put(fakes.pod("shop", "old"))
    rig.reconcile()
    assert rig.network_policies == []
    assert (rig.enforced()["status"], rig.enforced()["reason"]) == ("False", "Staged")
    assert "old" in rig.enforced()["message"]
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"]) == ("False", "Staged")
    del rig.cluster.objects["Pod", "shop", "old"]
    rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    assert rig.enforced()["status"] == "True"


def test_once_closed_no_pod_opens_it_again_not_even_after_a_restart() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.put(fakes.pod("shop", "sneaked-in"))
    rig.restart()
    rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    assert rig.enforced()["status"] == "True"


def test_strangers_network_policies_keep_it_staged_and_are_named() -> None:
    rig = shop()
    stranger = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": {"podSelector": {}}}
    rig.cluster.put({**stranger, "metadata": {"name": "allow-all", "namespace": "shop"}})
    rig.reconcile()
    assert rig.network_policies == ["allow-all"]
    assert rig.enforced()["reason"] == "StrangersNetworkPolicies"
    assert "allow-all" in rig.enforced()["message"]
    assert ("Warning", "Namespace", "shop", "StrangersNetworkPolicies") in rig.events.told


def test_policies_in_the_networks_own_kinds_are_told_for_as_long_as_they_are_there() -> None:
    rig = shop()
    rig.foreign = ["CiliumNetworkPolicy.cilium.io allow-all"]
    rig.reconcile()
    assert DEFAULT_DENY in rig.network_policies
    assert rig.enforced()["status"] == "True"
    assert "CiliumNetworkPolicy.cilium.io allow-all" in rig.enforced()["message"]
    rig.foreign = []
    rig.reconcile()
    assert "allow-all" not in rig.enforced()["message"]


def test_unenrolling_opens_and_forgets_the_latch() -> None:
    rig = shop()
    rig.reconcile()
    rig.cluster.put(fakes.namespace("shop"))
    rig.cluster.writes.clear()
    rig.reconcile()
    assert rig.network_policies == []
    assert rig.enforced() == {}
    touched = [name for _, kind, name in rig.cluster.writes if kind in {"NetworkPolicy", "Namespace"}]
    assert touched[-1] == "shop"


def test_drift_and_forged_objects_are_repaired() -> None:
    rig = shop()
    rig.reconcile()
    held = rig.cluster.objects["NetworkPolicy", "shop", DEFAULT_DENY]
    want = dict(held["spec"])
    held["spec"] = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
    rig.cluster.put(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "forged", "namespace": "shop", "labels": held["metadata"]["labels"]},
            "spec": {"podSelector": {}, "ingress": [{}]},
        }
    )
    rig.reconcile()
    assert rig.cluster.objects["NetworkPolicy", "shop", DEFAULT_DENY]["spec"] == want
    assert "forged" not in rig.network_policies


def test_unknown_names_are_said_on_the_policy_and_mended_when_they_come() -> None:
    rig = shop()
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "nobody")]))
    rig.reconcile()
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["status"], said["reason"]) == ("False", "UnknownIdentity")
    first = said["lastTransitionTime"]
    rig.clock.seconds += 60
    rig.cluster.put(fakes.identity("shop", "nobody"))
    rig.reconcile()
    said = rig.ready("SecurityPolicy", "payments")
    assert said["status"] == "True"
    assert said["lastTransitionTime"] > first
    assert ("Normal", "SecurityPolicy", "payments", "InForce") in rig.events.told


def test_the_transition_time_stays_while_the_status_does() -> None:
    rig = shop()
    rig.reconcile()
    first = rig.ready("SecurityPolicy", "payments")["lastTransitionTime"]
    rig.clock.seconds += 60
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout")], mode="Audit"))
    rig.reconcile()
    said = rig.ready("SecurityPolicy", "payments")
    assert (said["reason"], said["observedGeneration"], said["lastTransitionTime"]) == ("Audit", 2, first)


def test_a_status_speaks_of_the_generation_that_was_written() -> None:
    rig = shop()
    apply = rig.cluster.apply

    async def overtaken(obj: Any, *, subresource: str = "") -> Any:
        if obj["metadata"]["name"] == ALLOW and not subresource:
            rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout"), ("shop", "payments")]))
        return await apply(obj, subresource=subresource)

    rig.cluster.apply = overtaken  # type: ignore[method-assign]
    rig.reconcile()
    held = rig.cluster.find("SecurityPolicy", "shop", "payments")
    assert held is not None
    assert held["metadata"]["generation"] == 2
    assert rig.ready("SecurityPolicy", "payments")["observedGeneration"] == 1


def test_a_terminating_namespace_is_left_alone() -> None:
    rig = shop()
    rig.cluster.objects["Namespace", "", "shop"]["metadata"]["deletionTimestamp"] = "now"
    rig.reconcile()
    assert rig.cluster.writes == []


def test_nothing_is_kept_of_a_namespace_that_is_gone() -> None:
    rig = shop()
    rig.cluster.put(fakes.policy("shop", "payments", [("bank", "teller")]), fakes.cluster_policy("floor"))
    rig.reconcile()
    rig.cluster.objects.clear()
    rig.reconcile()
    reconciler, gatherer = rig.reconciler, rig.gatherer
    assert (reconciler.shares, reconciler.impact._names, dict(reconciler.impact._named_by)) == ({}, {}, {})
    assert (gatherer.policies._entries, gatherer.identities._entries) == ({}, {})
    assert reconciler._writer._contests._last == {}


def test_cluster_policies_get_their_share_of_each_namespace() -> None:
    rig = shop()
    rig.cluster.put(fakes.cluster_policy("floor"), fakes.pod("shop", "a", "payments"))
    rig.reconcile()
    share = rig.reconciler.shares["shop"]["floor"]
    assert share.pods == 1
    rig.cluster.put(fakes.namespace("shop"))
    rig.reconcile()
    assert rig.reconciler.shares == {}


def test_namespaces_that_are_named_are_known_to_matter() -> None:
    rig = shop()
    rig.cluster.put(fakes.policy("shop", "payments", [("bank", "teller")]))
    rig.reconcile()
    assert rig.reconciler.impact.of_identity("bank") == {"shop"}
    assert rig.reconciler.impact.of_identity("elsewhere") == frozenset()


def test_statuses_are_written_a_few_at_a_time_and_each_failure_is_told() -> None:
    rig = shop()
    for number in range(30):
        rig.cluster.put(fakes.identity("shop", f"id-{number:02}"))
    running = most = 0
    apply = rig.cluster.apply

    async def slow(obj: Any, *, subresource: str = "") -> Any:
        nonlocal running, most
        if subresource and obj["kind"] == "ServiceIdentity":
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
        return await apply(obj, subresource=subresource)

    rig.cluster.apply = slow  # type: ignore[method-assign]
    for name in ("id-07", "id-03"):
        rig.cluster.errors["apply status", "ServiceIdentity", name] = RingfenceError(f"{name} is out of order")
    with pytest.raises(RingfenceError, match=r"id-03 is out of order; .*id-07 is out of order"):
        rig.reconcile()
    assert most == WRITES_AT_ONCE
    assert all(rig.ready("ServiceIdentity", f"id-{number:02}") for number in range(30) if number not in {3, 7})
    rig.cluster.errors.clear()
    rig.reconcile()
    rig.cluster.writes.clear()
    rig.reconcile()
    assert rig.cluster.writes == [], "with nothing to do nothing is written"


def test_a_defect_in_a_status_is_not_swallowed() -> None:
    rig = shop()

    async def broken(obj: Any, *, subresource: str = "") -> Any:
        raise ZeroDivisionError

    rig.reconcile()
    rig.cluster.put(fakes.identity("shop", "late"))
    rig.cluster.apply = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        rig.reconcile()


def test_a_policy_that_closes_sessions_is_in_force_once_the_api_server_asks() -> None:
    rig = shop()
    closing = {"sessions": {"forbidExec": True}}
    rig.cluster.put(fakes.policy("shop", "payments", [("shop", "checkout")], admission=closing))
    answers: list[RingfenceError | None] = [RingfenceError("no rights"), None]

    async def ask(name: str) -> None:
        assert name == "shop"
        assert rig.ready("SecurityPolicy", "payments").get("reason") != "InForce"
        if error := answers.pop(0):
            raise error

    rig.reconciler._ask_about_sessions = ask
    with pytest.raises(PartlyApplied, match="webhook for sessions: no rights"):
        rig.reconcile()
    assert rig.ready("SecurityPolicy", "payments")["reason"] == "NotApplied"
    rig.reconcile()
    assert rig.ready("SecurityPolicy", "payments")["reason"] == "InForce"


def test_rules_about_requests_are_told_where_no_service_says_that_http_is_spoken() -> None:
    rig = shop()
    rig.proxies = True
    rig.restart()
    written = fakes.policy("shop", "payments", [("shop", "checkout")])
    written["spec"]["ingress"][0]["http"] = [{"methods": ["GET"]}]
    proxy = [{"name": "ringfence-proxy", "image": "proxy", "restartPolicy": "Always"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": "payments"},
        "spec": {"selector": {LABEL_IDENTITY: "payments"}, "ports": [{"name": "web", "port": 80, "targetPort": 8080}]},
    }
    rig.cluster.put(written, fakes.pod("shop", "a", "payments", initContainers=proxy), service)
    rig.reconcile()
    said = rig.ready("SecurityPolicy", "payments")
    assert said["status"] == "True"
    assert "rule from-checkout allows nothing on 8080: it is about requests" in said["message"]
    service["spec"]["ports"][0]["name"] = "http"
    rig.cluster.put(service)
    rig.reconcile()
    assert "about requests" not in rig.ready("SecurityPolicy", "payments")["message"]
