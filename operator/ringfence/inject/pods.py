"""A pod with its proxy. Pure: ``injected(injected(pod, uid), uid) == injected(pod, uid)``.

User and group are drawn anew whenever a pod is injected, never taken over from a sidecar that is there already: whoever
could choose them could have an image that runs as they do (ADR 0130).
"""

from collections.abc import Mapping
from typing import Any, Final

from ringfence.inject import floor, probes, sidecar
from ringfence.inject.injection import Injection
from ringfence.inject.patch import add
from ringfence.model import proxy
from ringfence.model.ports import Object

#: The members of a pod's spec that change.
_CHANGED: Final = ("containers", "ephemeralContainers", "initContainers", "volumes")


def users(spec: Mapping[str, Any]) -> tuple[int, int]:
    """The first and last id that user and group of a pod's proxy may have.

    The ids of a pod with users of its own end early.
    """
    return proxy.users(own=spec.get("hostUsers") is False)


def has_place(spec: Mapping[str, Any]) -> bool:
    """Whether a proxy can stand beside the pod: not in the network of its node, and not under Windows."""
    return not spec.get("hostNetwork") and (spec.get("os") or {}).get("name") != "windows"


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether an init container is a proxy, of this pod or copied from another."""
    return container.get("name") == proxy.CONTAINER and container.get("restartPolicy") == "Always"


def occupied(spec: Mapping[str, Any]) -> bool:
    """Whether a container that is no proxy has its name."""
    named = [each.get("name") for each in (*_list(spec, "containers"), *_list(spec, "ephemeralContainers"))]
    named += [each.get("name") for each in _list(spec, "initContainers") if not is_sidecar(each)]
    return proxy.CONTAINER in named


def injected(pod: Object, how: Injection, uid: int, gid: int = 0, *, fill: bool) -> Object:
    """The pod with its proxy; unchanged where there is no place for one, or its name is taken.

    ``uid`` is within ``users``, and so is ``gid`` (0: the number of the user). ``fill`` sets what containers leave
    unset of the floor.
    """
    spec = pod.get("spec") or {}
    if not has_place(spec) or occupied(spec):
        return pod
    own = [each for each in _list(spec, "initContainers") if not is_sidecar(each)]
    volumes = [each for each in _list(spec, "volumes") if each.get("name") not in proxy.RESERVED_VOLUMES]
    made = {
        **spec,
        "initContainers": [sidecar.container(how, uid, gid), *(_container(each, fill=fill) for each in own)],
        "containers": [_container(each, fill=fill) for each in _list(spec, "containers")],
        "volumes": [*volumes, *sidecar.volumes()],
    }
    return {**pod, "spec": made}


def debugged(pod: Object, before: Object) -> Object:
    """The pod with the floor filled in for ephemeral containers that it did not have ``before``."""
    spec = pod.get("spec") or {}
    known = {each.get("name") for each in _list(before.get("spec") or {}, "ephemeralContainers")}
    made = [
        dict(each) if each.get("name") in known else floor.filled(each) for each in _list(spec, "ephemeralContainers")
    ]
    return {**pod, "spec": {**spec, "ephemeralContainers": made}} if made else pod


def operations(before: Object, after: Object) -> list[dict[str, Any]]:
    """RFC 6902 operations from a pod to the same with its proxy; whole lists, so that an index cannot be wrong."""
    old, new = before.get("spec") or {}, after.get("spec") or {}
    return [add(("spec", name), new[name]) for name in _CHANGED if name in new and old.get(name) != new[name]]


def _container(container: Mapping[str, Any], *, fill: bool) -> dict[str, Any]:
    made = probes.rewritten(container)
    return floor.filled(made) if fill else made


def _list(spec: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return list(spec.get(name) or ())
