"""Who must live for the guards in the API server to live: Ringfence's own Namespace.

Somebody will delete that Namespace instead of uninstalling. The webhook would be gone and its configuration, which
fails closed, would refuse every pod of every enrolled namespace for ever. With the Namespace as their owner, the
garbage collector of Kubernetes takes the guards away after it. NetworkPolicies have no owner: what was closed stays
closed.
"""

from collections.abc import Iterable

from ringfence.model.ports import Lister, Object


def by_namespace(objects: Iterable[Object], namespaces: Lister, name: str) -> tuple[Object, ...]:
    """The same cluster-scoped objects, owned by the Namespace of this name if there is one."""
    namespace = namespaces.get("", name)
    if namespace is None:
        return tuple(objects)
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": name, "uid": namespace["metadata"]["uid"]}
    return tuple({**obj, "metadata": {**obj["metadata"], "ownerReferences": [owner]}} for obj in objects)
