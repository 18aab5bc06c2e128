"""Objects as written and as returned by the API server must be told equal, and any stranger's field unequal."""

from typing import Any

import pytest
from ringfence.reconcile import normal


def network_policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "a", "namespace": "shop", "labels": {"own": "1"}},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], **spec},
    }


def webhooks(kind: str, **webhook: Any) -> dict[str, Any]:
    service = {"service": {"name": "w", "namespace": "n"}}
    entry = {"name": "b", "clientConfig": service, "rules": [{"operations": ["CREATE"]}], **webhook}
    return {"kind": kind, "metadata": {"name": "ringfence"}, "webhooks": [entry]}


def test_the_servers_defaults_are_no_difference() -> None:
    desired = network_policy(ingress=[{"ports": [{"port": 80}]}], egress=[])
    observed = network_policy(ingress=[{"ports": [{"port": 80, "protocol": "TCP"}]}])
    observed["metadata"] |= {"uid": "u", "labels": {"own": "1", "foreign": "2"}}
    observed["status"] = {"x": 1}
    assert normal.agrees(desired, observed)


@pytest.mark.parametrize(
    "spec",
    [
        {"egress": [{}]},
        {"ingress": [{}]},
        {"policyTypes": ["Ingress", "Egress"]},
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"unheard-of": True},
    ],
)
def test_any_stranger_in_the_content_is_a_difference(spec: dict[str, Any]) -> None:
    assert not normal.agrees(network_policy(), network_policy(**spec))


def test_an_own_label_that_is_gone_is_a_difference() -> None:
    observed = network_policy()
    observed["metadata"] = {"name": "a", "namespace": "shop"}
    assert not normal.agrees(network_policy(), observed)


def test_an_empty_object_means_all_and_is_kept() -> None:
    desired = network_policy(ingress=[{"from": [{"namespaceSelector": {}}]}])
    observed = network_policy(ingress=[{"from": [{"podSelector": {}}]}])
    assert not normal.agrees(desired, observed)


def test_webhook_defaults_are_no_difference() -> None:
    for kind, extra in (
        ("MutatingWebhookConfiguration", {"reinvocationPolicy": "Never"}),
        ("ValidatingWebhookConfiguration", {}),
    ):
        desired = webhooks(kind)
        observed = webhooks(
            kind,
            clientConfig={"service": {"name": "w", "namespace": "n", "port": 443}},
            rules=[{"operations": ["CREATE"], "scope": "*"}],
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=10,
            **extra,
        )
        assert normal.agrees(desired, observed)


@pytest.mark.parametrize(
    "change",
    [
        {"failurePolicy": "Ignore"},
        {"namespaceSelector": {"matchLabels": {"x": "y"}}},
        {"matchConditions": [{"name": "off", "expression": "false"}]},
        {"timeoutSeconds": 1},
    ],
)
def test_a_weakened_webhook_is_a_difference(change: dict[str, Any]) -> None:
    kind = "ValidatingWebhookConfiguration"
    assert not normal.agrees(webhooks(kind), webhooks(kind, **change))


def test_an_added_webhook_is_a_difference() -> None:
    observed = webhooks("MutatingWebhookConfiguration")
    observed["webhooks"].append({"name": "a-strangers"})
    assert not normal.agrees(webhooks("MutatingWebhookConfiguration"), observed)


def test_admission_policy_defaults_are_no_difference() -> None:
    desired = {
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [{"resources": ["pods"]}]}, "validations": []},
    }
    observed = {
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "matchPolicy": "Equivalent",
                "namespaceSelector": {},
                "objectSelector": {},
                "resourceRules": [{"resources": ["pods"], "scope": "*"}],
            },
        },
        "status": {"typeChecking": {}},
    }
    assert normal.agrees(desired, observed)
    observed["spec"]["matchConstraints"]["excludeResourceRules"] = [{"resources": ["pods"]}]  # type: ignore[index]
    assert not normal.agrees(desired, observed)


def test_comparing_changes_nothing() -> None:
    desired = network_policy(ingress=[{"ports": [{"port": 80}]}])
    normal.content(desired)
    assert desired == network_policy(ingress=[{"ports": [{"port": 80}]}])
