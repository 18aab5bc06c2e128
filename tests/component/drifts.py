"""What people do to the objects that the controller keeps: taken away, opened, narrowed, forged, switched off."""

from collections.abc import Awaitable, Callable
from typing import Any

from ringfence.kube import client, resources
from ringfence.translate.network_policy import DEFAULT_DENY

from tests.component import cluster
from tests.component.controller_rig import OWN

ALLOW = "ringfence-policy-payments-ingress"
NP = resources.NETWORK_POLICIES

#: Something that somebody does.
Drift = Callable[[client.Client], Awaitable[Any]]


def _deleting(resource: resources.Resource, namespace: str, name: str) -> Drift:
    return lambda api: cluster.delete(api, resource, namespace, name)


def _merging(resource: resources.Resource, namespace: str, name: str, patch: dict[str, Any]) -> Drift:
    path = resource.path(namespace, name)
    return lambda api: api.request("PATCH", path, body=patch, content_type=client.MERGE)


def _patching(resource: resources.Resource, name: str, *operations: dict[str, Any]) -> Drift:
    """A JSON patch, sent as such: the body is a list."""

    async def drift(api: client.Client) -> None:
        held = await cluster.get(api, resource, "", name)
        assert held is not None
        for operation in operations:
            held["webhooks"][0][operation["field"]] = operation["value"]
        await api.request("PUT", resource.path("", name), body=held)

    return drift


DRIFTS = {
    "default deny deleted": _deleting(NP, "drifting", DEFAULT_DENY),
    "default deny opened": _merging(NP, "drifting", DEFAULT_DENY, {"spec": {"ingress": [{}], "egress": [{}]}}),
    "default deny narrowed": _merging(
        NP, "drifting", DEFAULT_DENY, {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}
    ),
    "egress added to an allow": _merging(
        NP, "drifting", ALLOW, {"spec": {"policyTypes": ["Ingress", "Egress"], "egress": [{}]}}
    ),
    "port widened": _merging(NP, "drifting", ALLOW, {"spec": {"ingress": [{}]}}),
    "labels taken away": _merging(NP, "drifting", ALLOW, {"metadata": {"labels": None}}),
    "object forged": lambda api: cluster.apply(
        api,
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "ringfence-forged",
                "namespace": "drifting",
                "labels": {"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "network"},
            },
            "spec": {"podSelector": {}, "ingress": [{}]},
        },
    ),
    "admission policy deleted": _deleting(resources.ADMISSION_POLICIES, "", "ringfence-pods"),
    "admission policy softened": _merging(
        resources.ADMISSION_POLICIES, "", "ringfence-pods", {"spec": {"failurePolicy": "Ignore"}}
    ),
    "binding deleted": _deleting(resources.ADMISSION_POLICY_BINDINGS, "", "ringfence-pods"),
    "binding only audits": _merging(
        resources.ADMISSION_POLICY_BINDINGS, "", "ringfence-pods", {"spec": {"validationActions": ["Audit"]}}
    ),
    "binding narrowed": _merging(
        resources.ADMISSION_POLICY_BINDINGS,
        "",
        "ringfence-pods",
        {"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"x": "y"}}}}},
    ),
    "webhooks deleted": _deleting(resources.VALIDATING_WEBHOOKS, "", "ringfence"),
    "mutating webhooks emptied": _merging(resources.MUTATING_WEBHOOKS, "", "ringfence", {"webhooks": None}),
    "webhook ignored on failure": _patching(
        resources.VALIDATING_WEBHOOKS, "ringfence", {"field": "failurePolicy", "value": "Ignore"}
    ),
    "webhook switched off by a condition": _patching(
        resources.MUTATING_WEBHOOKS,
        "ringfence",
        {"field": "matchConditions", "value": [{"name": "off", "expression": "false"}]},
    ),
    "certificate deleted": _deleting(resources.SECRETS, OWN, "ringfence-webhook-tls"),
}
