"""AdmissionReviews as the API server sends them."""

import base64
import json
from collections.abc import Mapping
from typing import Any

_PLURALS = {
    "Pod": ("", "pods"),
    "Namespace": ("", "namespaces"),
    "NetworkPolicy": ("networking.k8s.io", "networkpolicies"),
    "SecurityPolicy": ("ringfence.dev", "securitypolicies"),
    "ClusterSecurityPolicy": ("ringfence.dev", "clustersecuritypolicies"),
    "ServiceIdentity": ("ringfence.dev", "serviceidentities"),
    "Deployment": ("apps", "deployments"),
    "CronJob": ("batch", "cronjobs"),
    "PodExecOptions": ("", "pods"),
    "PodAttachOptions": ("", "pods"),
    "PodPortForwardOptions": ("", "pods"),
    "PodProxyOptions": ("", "pods"),
}


def review(
    obj: Mapping[str, Any] | None,
    old: Mapping[str, Any] | None = None,
    *,
    operation: str = "",
    user: str = "jane",
    groups: tuple[str, ...] = ("system:authenticated",),
    subresource: str = "",
    **request: Any,
) -> dict[str, Any]:
    """A review of creating ``obj``, or of changing ``old`` to it, or of deleting ``old``."""
    shown = obj or old or {}
    group, plural = _PLURALS.get(str(shown.get("kind")), ("", ""))
    metadata = shown.get("metadata") or {}
    version = str(shown.get("apiVersion", "v1")).rpartition("/")[2]
    body: dict[str, Any] = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": group, "version": version, "kind": shown.get("kind", "")},
        "resource": {"group": group, "version": version, "resource": plural},
        "name": metadata.get("name", ""),
        "namespace": metadata.get("namespace", ""),
        "operation": operation or ("UPDATE" if obj and old else "CREATE" if obj else "DELETE"),
        "userInfo": {"username": user, "groups": list(groups)},
        "object": obj,
        "oldObject": old,
        "dryRun": False,
        "options": None,
    }
    if subresource:
        body["subResource"] = subresource
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {**body, **request}}


def encoded(*args: Any, **kwargs: Any) -> bytes:
    """The same as bytes, as the API server writes them: without spaces."""
    return json.dumps(review(*args, **kwargs), separators=(",", ":")).encode()


def decoded(answer: bytes) -> dict[str, Any]:
    """The response of an answer, its patch readable."""
    body = json.loads(answer)
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response: dict[str, Any] = body["response"]
    if "patch" in response:
        response["patch"] = json.loads(base64.b64decode(response["patch"]))
    return response


def pod(
    name: str = "web", namespace: str = "shop", *, labels: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A pod that the restricted standard accepts unless ``spec`` says otherwise; its label is that of `default`."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"ringfence.dev/identity": "default"} if labels is None else dict(labels),
        },
        "spec": {
            "serviceAccountName": "default",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "main", "image": "x", "securityContext": context}],
            **spec,
        },
    }
