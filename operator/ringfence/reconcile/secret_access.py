"""The right to see the Secrets of a namespace: a RoleBinding there, for as long as the namespace is enrolled.

The chart gives the controller no right to Secrets outside of its own namespace, only that of binding one role.
"""

from typing import Any, Final

from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY, SECRETS_ROLE
from ringfence.model.ports import Object
from ringfence.reconcile.means import Means
from ringfence.reconcile.trust_bundle import PURPOSE

SECRETS_BINDING: Final = SECRETS_ROLE
SERVICE_ACCOUNT: Final = "ringfence-controller"


def binding(namespace: str, own_namespace: str) -> dict[str, Any]:
    """The RoleBinding that lets the controller at the Secrets of a namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {
            "name": SECRETS_BINDING,
            "namespace": namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY, LABEL_PURPOSE: PURPOSE},
        },
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": SECRETS_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": own_namespace}],
    }


async def ensure(means: Means, namespace: str, own_namespace: str, held: Object | None) -> None:
    """Have the binding there, and binding nothing else; ``held`` is what there is of its name."""
    wanted = binding(namespace, own_namespace)
    if held is not None:
        if all(held.get(key) == wanted[key] for key in ("roleRef", "subjects")):
            return
        # The role of a binding cannot be changed; and what else it binds must go.
        await means.applier.delete(
            held["apiVersion"], held["kind"], namespace, SECRETS_BINDING, uid=held["metadata"].get("uid", "")
        )
    # Applied, not created: a POST cannot be limited to a name by RBAC, a PATCH can.
    await means.applier.apply(wanted)
