"""Kinds of the names that networks give to theirs, which take whatever they are given."""

from typing import Any

from ringfence.model.foreign_policies import ForeignPolicy

#: As an installation of each network serves it; one that is not here is served as v1.
VERSIONS = {"cilium.io": "v2", "crd.antrea.io": "v1beta1", "projectcalico.org": "v3"}


def version(kind: ForeignPolicy) -> str:
    """The ``apiVersion`` of its objects."""
    return f"{kind.group}/{VERSIONS.get(kind.group, 'v1')}"


def path(kind: ForeignPolicy, namespace: str, name: str = "") -> str:
    """Where its objects are; no namespace for a kind of the whole cluster."""
    where = f"/namespaces/{namespace}" if namespace else ""
    root = f"/apis/{version(kind)}{where}/{kind.plural}"
    return f"{root}/{name}" if name else root


def definition(kind: ForeignPolicy, *, namespaced: bool = True) -> dict[str, Any]:
    """The CustomResourceDefinition."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": VERSIONS.get(kind.group, "v1"),
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    names = {"plural": kind.plural, "singular": kind.plural + "-one", "kind": kind.kind, "listKind": f"{kind.kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [served],
        },
    }


def allow_all(kind: ForeignPolicy, namespace: str, name: str, **content: Any) -> dict[str, Any]:
    """An object of the kind, with other ``content`` if any is given."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    said = content or {"spec": {"podSelector": {}, "ingress": [{}]}}
    return {"apiVersion": version(kind), "kind": kind.kind, "metadata": metadata, **said}
