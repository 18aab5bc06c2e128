"""Services and EndpointSlices as the API server has them, turned into values."""

from collections.abc import Iterable, Iterator, Mapping
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


def behind(slices: Iterable[Object], namespace: str) -> dict[str, tuple[EndpointValue, ...]]:
    """The pods behind each Service of a namespace, as its slices say; whether it is true is for others to tell."""
    found: dict[str, set[EndpointValue]] = {}
    for each in slices:
        name = (each["metadata"].get("labels") or {}).get(_SERVICE_LABEL)
        if not name:
            continue
        values = found.setdefault(name, set())
        for endpoint in each.get("endpoints") or ():
            reference = endpoint.get("targetRef") or {}
            if reference.get("kind") != "Pod" or reference.get("namespace") not in {None, "", namespace}:
                continue
            ready = (endpoint.get("conditions") or {}).get("ready")
            values.update(
                EndpointValue(str(reference.get("name", "")), address, ready is not False)
                for address in endpoint.get("addresses") or ()
            )
    return {name: tuple(sorted(values)) for name, values in found.items()}
