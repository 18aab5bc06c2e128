"""The metadata of a resource: what is needed of it, checked as the API server checks it."""

from collections.abc import Mapping
from typing import Any, Final

from ringfence.api import validate, wording
from ringfence.api.v1alpha1 import identifiers
from ringfence.model.resources import ResourceMeta

#: ObjectMeta of Kubernetes' API, meta/v1.
_KNOWN: Final = (
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)


def name_of(obj: object) -> str:
    """The name for a message about an object that may be anything; "?" when it has none."""
    meta = obj.get("metadata") if isinstance(obj, Mapping) else None
    name = meta.get("name") if isinstance(meta, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 253 else "?"


def read(
    obj: Mapping[str, Any], namespaced: bool, source: str, default_namespace: str, report: validate.Report
) -> ResourceMeta:
    """The metadata; meaningless if ``report`` has errors afterwards.

    An object that is being created may have only generateName: its name is then not known yet, and the prefix stands
    for it.
    """
    meta = obj.get("metadata")
    if not isinstance(meta, Mapping):
        report.add("metadata", "is missing" if meta is None else f"is {wording.described(meta)}", "give metadata.name")
        return ResourceMeta(name="?")
    validate.known(meta, _KNOWN, "metadata", report)
    for name in ("labels", "annotations"):
        _strings(meta.get(name), f"metadata.{name}", report)
    generation, uid = meta.get("generation"), meta.get("uid")
    return ResourceMeta(
        name=_name(meta, report),
        namespace=_namespace(meta, namespaced, default_namespace, report),
        generation=generation if isinstance(generation, int) and not isinstance(generation, bool) else 0,
        uid=uid if isinstance(uid, str) else "",
        source=source,
    )


def _name(meta: Mapping[str, Any], report: validate.Report) -> str:
    name, prefix = meta.get("name"), meta.get("generateName")
    if name in (None, "") and isinstance(prefix, str) and prefix:
        return prefix
    if name in (None, ""):
        report.add("metadata.name", "is missing", f"give {identifiers.DNS_SUBDOMAIN.what}")
        return "?"
    before = report.total
    validate.check(identifiers.DNS_SUBDOMAIN, name, "metadata.name", report)
    return str(name) if report.total == before else "?"


def _namespace(meta: Mapping[str, Any], namespaced: bool, default: str, report: validate.Report) -> str:
    namespace = meta.get("namespace")
    if namespace in (None, ""):
        if namespaced and not default:
            report.add("metadata.namespace", "is missing", "give the namespace that the resource is for")
        return default if namespaced else ""
    if not namespaced:
        report.add("metadata.namespace", "is given, but the resource is not in a namespace", "leave it out")
        return ""
    validate.check(identifiers.DNS_LABEL, namespace, "metadata.namespace", report)
    return str(namespace)


def _strings(value: object, path: str, report: validate.Report) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        report.add(path, f"is {wording.described(value)}", "give an object of strings")
        return
    for name, item in value.items():
        if not isinstance(name, str) or not isinstance(item, str):
            wrong = name if not isinstance(name, str) else item
            report.add(f"{path}[{wording.key(name)}]", f"is {wording.described(wrong)}", "write it in quotes")
