"""What is judged and by what: a pod of 6 KB, as the API server sends it, and the policies of a cluster."""

import json
from dataclasses import dataclass
from typing import Any, Final

NAMESPACE: Final = "shop"


def pod(*, good: bool = True) -> dict[str, Any]:
    """A pod of 6 KB: two containers with what programs have, and the managedFields of whoever wrote it."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": not good}
    variables = [{"name": f"SETTING_{index}", "value": f"value of setting {index}"} for index in range(12)]
    containers = [
        {
            "name": name,
            "image": f"registry.example.com/shop/{name}@sha256:{'0' * 64}",
            "env": variables,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": context,
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }
        for name in ("checkout", "exporter")
    ]
    managed: dict[str, Any] = {f"f:env-{index}": {".": {}, "f:name": {}, "f:value": {}} for index in range(40)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "checkout-5b8f9c7d4-x2x9q",
            "namespace": NAMESPACE,
            "labels": {"app": "checkout", "pod-template-hash": "5b8f9c7d4", "ringfence.dev/identity": "default"},
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": managed}],
        },
        "spec": {
            "serviceAccountName": "default",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
    }


def review(obj: dict[str, Any]) -> bytes:
    """As the API server sends it."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": obj["metadata"]["name"],
        "namespace": NAMESPACE,
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["a", "b"]},
        "object": obj,
        "oldObject": None,
        "dryRun": False,
    }
    body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Policies:
    """How many SecurityPolicies there are beside the floor: ``own`` where pods are judged, ``others`` elsewhere."""

    own: int
    others: int = 0


#: The strictest level, and two registries.
_ADMISSION: Final = {
    "podSecurity": "restricted",
    "images": {"registries": ["docker.io/library", "registry.example.com/shop"]},
}
#: SecurityPolicies in each of the other namespaces.
_EACH: Final = 20


def objects(policies: Policies) -> list[dict[str, Any]]:
    """Namespaces, one floor for all of them, an identity and policies in each."""
    floor = _own("ClusterSecurityPolicy", "", "floor", {"namespaceSelector": {}, "admission": _ADMISSION})
    made = [floor, *_namespace(NAMESPACE, policies.own)]
    for index in range(0, policies.others, _EACH):
        made += _namespace(f"team-{index // _EACH}", min(_EACH, policies.others - index))
    return made


def _namespace(name: str, count: int) -> list[dict[str, Any]]:
    """It is staged, so that pods may come without the controller's NetworkPolicy."""
    namespace = {
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"ringfence.dev/enroll": "enforce"}},
        "status": {"conditions": [{"type": "ringfence.dev/Enforced", "status": "False"}]},
    }
    rule = {"name": "a", "from": [{"namespace": name}], "ports": [80]}
    return [
        namespace,
        _own("ServiceIdentity", name, "default", {}),
        _own("SecurityPolicy", name, "own", {"admission": {"podSecurity": "baseline"}}),
        *(_own("SecurityPolicy", name, f"other-{index}", {"ingress": [rule]}) for index in range(count - 1)),
    ]


def _own(kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
