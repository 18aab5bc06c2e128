"""What people try: an admin of the shop's namespaces, with Kubernetes' ClusterRole `admin` and more, and the platform's
administrator, who may do anything and is not thereby right.
"""

import json
from collections.abc import Iterable

from e2e.cluster.errors import ClusterError
from e2e.demo import client, shop
from e2e.demo.attempts import ALLOWED, Refusal, Row
from e2e.demo.client import Client, Object

USER = "olga@shop.example"
_DEFAULT_DENY = "networkpolicy/ringfence-default-deny"
_RESTORED_WITHIN = 5.0


def rights() -> list[Object]:
    """Olga is admin of both namespaces, and may change the Namespace objects themselves, as self-service platforms
    allow, so that it is admission that answers her and not RBAC.
    """
    group = "rbac.authorization.k8s.io"
    person = [{"kind": "User", "name": USER, "apiGroup": group}]
    own = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "demo-own-namespaces"},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["namespaces"],
                "resourceNames": list(shop.CLOSED),
                "verbs": ["get", "update", "patch"],
            }
        ],
    }
    bound: Object = {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "demo-own-namespaces"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "demo-own-namespaces"},
        "subjects": person,
    }
    admins: list[Object] = [
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "olga", "namespace": namespace},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "admin"},
            "subjects": person,
        }
        for namespace in shop.CLOSED
    ]
    return [own, bound, *admins]


def namespace_admin(admin: Client) -> list[Row]:
    """What Olga tries. What passes is a dry run."""
    return [each.row(f"{USER}, admin of shop") for each in _olga(admin.acting_as(USER))]


def _olga(olga: Client) -> Iterable[Refusal]:
    here = "--namespace=shop"
    yield Refusal(
        "write a SecurityPolicy in shop",
        "service teams write their own rules",
        lambda: olga.create(_policy(), "--dry-run=server"),
        passes=True,
    )
    yield Refusal(
        "un-enrol shop",
        "needs the verb `enroll`",
        lambda: olga.attempt("label", "namespace", "shop", "ringfence.dev/enroll-"),
        ("verb enroll",),
    )
    yield Refusal(
        "move shop into the zone of the data",
        "needs the verb `enroll`",
        lambda: olga.attempt("label", "namespace", "shop", "--overwrite", "ringfence.dev/zone=data"),
        ("verb enroll",),
    )
    yield Refusal(
        "write an allow-all NetworkPolicy",
        "in a closed namespace only Ringfence writes NetworkPolicies",
        lambda: olga.create(_allow_all()),
        ("NetworkPolic",),
    )
    yield Refusal(
        "delete Ringfence's default-deny",
        "Ringfence's own objects are its own",
        lambda: olga.attempt("delete", here, _DEFAULT_DENY),
        ("ringfence-default-deny",),
    )
    yield Refusal(
        "empty Ringfence's default-deny",
        "Ringfence's own objects are its own",
        lambda: olga.attempt("patch", here, _DEFAULT_DENY, "--type=merge", '--patch={"spec":{"ingress":[{}]}}'),
        ("ringfence-default-deny",),
    )
    yield Refusal(
        "delete the platform's floor",
        "a ClusterSecurityPolicy is the platform's",
        lambda: olga.attempt("delete", "clustersecuritypolicy/floor"),
        ("clustersecuritypolicies",),
    )


def platform_admin(admin: Client, namespace: str = "shop") -> list[Row]:
    """The platform's administrator deletes a NetworkPolicy; Ringfence puts it back."""
    before = _uid(admin, namespace)
    done = admin.attempt("delete", f"--namespace={namespace}", _DEFAULT_DENY)
    try:
        seconds = client.until(lambda: _uid(admin, namespace) not in {"", before}, "restored", within=30, every=0.05)
        happened, as_said = f"passed; restored after {seconds:.1f} s", done.ok and seconds <= _RESTORED_WITHIN
    except ClusterError:
        happened, as_said = "not restored within 30 s", False
    says = f"{ALLOWED}: and it is back within {_RESTORED_WITHIN:.0f} s"
    return [
        Row("cluster administrator", "delete Ringfence's default-deny", says, happened, as_said, done.error.strip())
    ]


def _uid(admin: Client, namespace: str) -> str:
    done = admin.attempt("get", f"--namespace={namespace}", _DEFAULT_DENY, "--output=json")
    return str(json.loads(done.out)["metadata"]["uid"]) if done.ok else ""


def _policy() -> Object:
    spec = {
        "appliesTo": {"identities": ["checkout"]},
        "ingress": [
            {"name": "try", "from": [{"identity": {"namespace": "shop", "name": "frontend"}}], "ports": [9090]}
        ],
    }
    metadata = {"name": "attempt", "namespace": "shop"}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": "SecurityPolicy", "metadata": metadata, "spec": spec}


def _allow_all() -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "allow-all", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }
