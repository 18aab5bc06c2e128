"""Services and EndpointSlices as the API server has them, turned into values."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from ringfence.model.mesh import EndpointValue, ServicePort, ServiceValue
from ringfence.model.ports import Object
from ringfence.model.resources import Protocol

_SERVICE_LABEL: Final = "kubernetes.io/service-name"


def services(objects: Iterable[Object]) -> Iterator[ServiceValue]:
    """Those with a selector, since others lead to what is no pod of anybody, and the API server's."""
    for each in objects:
        if (each.get("spec") or {}).get("selector") or _is_api_server(each):
            yield service(each)


def _is_api_server(obj: Object) -> bool:
    return (obj["metadata"].get("namespace"), obj["metadata"]["name"]) == ("default", "kubernetes")


def service(obj: Object) -> ServiceValue:
    """A Service as a value."""
    spec = obj.get("spec") or {}
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    return ServiceValue(
        namespace=obj["metadata"].get("namespace", ""),
        name=obj["metadata"]["name"],
        cluster_ips=tuple(each for each in addresses if each and each != "None"),
        ports=tuple(sorted((_port(each) for each in spec.get("ports") or ()), key=lambda each: (each.port, each.name))),
        selector=tuple(sorted((spec.get("selector") or {}).items())),
    )


def _port(port: Mapping[str, Any]) -> ServicePort:
    return ServicePort(
        name=port.get("name") or "",
        port=port["port"],
        target=port.get("targetPort") or port["port"],
        protocol=Protocol(port.get("protocol") or "TCP"),
        app_protocol=port.get("appProtocol") or "",
    )


#: The pod of a name, None for one that is not known.
Pods = Callable[[str], Object | None]


def behind(slices: Iterable[Object], namespace: str, pods: Pods) -> dict[str, tuple[EndpointValue, ...]]:
    """The pods behind each Service of a namespace, as its slices say; whether it is true is for others to tell.

    Where a Service has not one ready endpoint, those count that are not ready for their nodes' sake alone.
    """
    found: dict[str, set[tuple[EndpointValue, bool]]] = {}
    for each in slices:
        name = (each["metadata"].get("labels") or {}).get(_SERVICE_LABEL)
        if not name:
            continue
        values = found.setdefault(name, set())
        for endpoint in each.get("endpoints") or ():
            reference = endpoint.get("targetRef") or {}
            if reference.get("kind") != "Pod" or reference.get("namespace") not in {None, "", namespace}:
                continue
            conditions = endpoint.get("conditions") or {}
            pod, ready = str(reference.get("name", "")), conditions.get("ready") is not False
            unheard = not ready and not conditions.get("terminating") and _is_unheard(pods(pod))
            values.update((EndpointValue(pod, address, ready), unheard) for address in endpoint.get("addresses") or ())
    return {name: _usable(values) for name, values in found.items()}


def _is_unheard(pod: Object | None) -> bool:
    """Whether a pod that is not ready is so because its node is not heard of: its kubelet has said that it is.

    After a time without news of a node, and so of all nodes once the API server itself was away, Kubernetes takes the
    condition Ready from its pods, and leaves ContainersReady as the kubelet wrote it.
    """
    if pod is None or "deletionTimestamp" in pod["metadata"] or (pod.get("spec") or {}).get("readinessGates"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "ContainersReady" and each.get("status") == "True" for each in conditions)


def _usable(values: set[tuple[EndpointValue, bool]]) -> tuple[EndpointValue, ...]:
    if any(each.ready for each, _ in values):
        return tuple(sorted({each for each, _ in values}))
    return tuple(sorted({replace(each, ready=unheard) for each, unheard in values}))
