"""Which pods of the node have a proxy, and as which user and group it runs: read from the Pod, as pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.model import proxy
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment

#: A pod in one of these runs nothing any more.
_ENDED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Target:
    """A pod whose traffic goes through its proxy: ``uid`` is the pod's, ``proxy_uid`` and ``proxy_gid`` are user
    and group of its proxy."""

    namespace: str
    name: str
    uid: str
    proxy_uid: int
    proxy_gid: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A pod with a proxy that must not be touched, and why, for a person to read."""

    namespace: str
    name: str
    why: str


def target(pod: Object) -> Target | Refused | None:
    """What to do with a pod; None where there is nothing to do, since it has no proxy or has ended."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    container = _sidecar(spec)
    if container is None or (pod.get("status") or {}).get("phase") in _ENDED:
        return None
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    if spec.get("hostNetwork"):
        return Refused(namespace, name, "it is on the node's network, which a proxy of one pod must never get")
    context = container.get("securityContext") or {}
    uid: Any = context.get("runAsUser")
    gid: Any = context.get("runAsGroup", uid)
    first, last = proxy.users(own=spec.get("hostUsers") is False)
    for what, found in (("user", uid), ("group", gid)):
        if isinstance(found, bool) or not isinstance(found, int) or not first <= found <= last:
            return Refused(
                namespace,
                name,
                f"its container {proxy.CONTAINER} runs as {what} {found}, and a proxy's are {first} to "
                f"{last}: leave the container to Ringfence, which adds it",
            )
    return Target(namespace, name, metadata["uid"], uid, gid)


def is_strict(namespace: Object | None) -> bool:
    """Whether a namespace is enforced; one that is not known yet counts as such."""
    if namespace is None:
        return True
    labels: Mapping[str, str] = namespace.get("metadata", {}).get("labels") or {}
    return labels.get(LABEL_ENROLL) == Enrolment.ENFORCE.value


def trim(pod: dict[str, Any]) -> dict[str, Any]:
    """What ``target`` reads, for a cache."""
    metadata, spec = pod.get("metadata", {}), pod.get("spec") or {}
    kept: dict[str, Any] = {
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata},
        "spec": {key: spec[key] for key in ("hostNetwork", "hostUsers") if key in spec},
        "status": {"phase": (pod.get("status") or {}).get("phase", "")},
    }
    container = _sidecar(spec)
    if container is not None:
        context = container.get("securityContext") or {}
        as_whom = {key: context[key] for key in ("runAsUser", "runAsGroup") if key in context}
        kept["spec"]["initContainers"] = [{"name": proxy.CONTAINER, "securityContext": as_whom}]
    return kept


def _sidecar(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The proxy is a native sidecar, so it is among the init containers."""
    for container in spec.get("initContainers") or ():
        if container.get("name") == proxy.CONTAINER:
            found: Mapping[str, Any] = container
            return found
    return None
