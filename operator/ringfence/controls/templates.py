"""Where the pods of a workload are described, so that the workload can be judged before its first pod is made."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ringfence.controls import pod
from ringfence.controls.pod import Pod

#: (API group, kind) to the fields that lead to the pod template. A Pod is its own template.
TEMPLATES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "Pod"): (),
    ("", "PodTemplate"): ("template",),
    ("", "ReplicationController"): ("spec", "template"),
    ("apps", "DaemonSet"): ("spec", "template"),
    ("apps", "Deployment"): ("spec", "template"),
    ("apps", "ReplicaSet"): ("spec", "template"),
    ("apps", "StatefulSet"): ("spec", "template"),
    ("batch", "CronJob"): ("spec", "jobTemplate", "spec", "template"),
    ("batch", "Job"): ("spec", "template"),
}


def group_kind(obj: Mapping[str, Any]) -> tuple[str, str]:
    """API group and kind of an object; "" for the core group and for what is not said."""
    version = str(obj.get("apiVersion") or "")
    return version.rpartition("/")[0], str(obj.get("kind") or "")


def prefix(path: tuple[str, ...]) -> str:
    """The path as the beginning of a field: ``spec.template.``, "" for a Pod."""
    return "".join(f"{field}." for field in path)


def decode(data: bytes | msgspec.Raw, path: tuple[str, ...]) -> Pod:
    """The pod template at ``path`` of a JSON object; an empty pod where there is none.

    Raises msgspec.MsgspecError when something on the way is not an object.
    """
    raw: bytes | msgspec.Raw = data
    for field in path:
        fields = _fields.decode(raw)
        if field not in fields or bytes(fields[field]) == b"null":
            return Pod()
        raw = fields[field]
    return pod.decode(raw)


def raw(obj: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    """The same with all of its fields, from a decoded object."""
    found: Any = obj
    for field in path:
        found = (found if isinstance(found, Mapping) else {}).get(field)
    return found if isinstance(found, Mapping) else {}


_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
