"""Proxies in pods as admission reads them: what is judged is the pod of its author, without what was added to it."""

import msgspec

from ringfence.controls.pod import Container, Pod, PodSpec
from ringfence.model import proxy


def sidecar(pod: Pod) -> Container | None:
    """The proxy of a pod, None for none."""
    return next((each for each in pod.spec.init_containers or () if each.name == proxy.CONTAINER), None)


def without(pod: Pod) -> Pod:
    """The pod without its proxy, so that fields have the indices that its author gave them."""
    if sidecar(pod) is None:
        return pod
    spec: PodSpec = pod.spec
    containers = [each for each in spec.init_containers or () if each.name != proxy.CONTAINER]
    volumes = [each for each in spec.volumes or () if _name(each) not in proxy.RESERVED_VOLUMES]
    spec = msgspec.structs.replace(spec, init_containers=containers, volumes=volumes)
    return msgspec.structs.replace(pod, spec=spec)


def has_place(pod: Pod) -> bool:
    """Whether a proxy can stand beside it; as ``pods.has_place``."""
    return not pod.spec.host_network and (pod.spec.os is None or pod.spec.os.name != "windows")


def started(pod: Pod) -> bool:
    """Whether its proxy has started, so that nothing in the pod can go past it."""
    statuses = pod.status.init_container_statuses if pod.status else None
    return any(each.name == proxy.CONTAINER and each.started is True for each in statuses or ())


def _name(volume: dict[str, msgspec.Raw]) -> str:
    raw = volume.get("name")
    return str(msgspec.json.decode(raw)) if raw is not None else ""
