"""All of a pod that shapes its proxy's configuration; pods that are alike here share one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.model import probes, proxy
from ringfence.model.mesh import Mesh, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.ports import Object
from ringfence.model.probes import Probe
from ringfence.model.world import ContainerPort, Enrolment, Workload
from ringfence.policy import reach, speech


@dataclass(frozen=True, slots=True, order=True)
class Port:
    """A TCP port of the pod that somebody has named: the names its containers give it, and whether it speaks HTTP."""

    number: int
    names: tuple[str, ...] = ()
    http: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """The class of a proxy. Every tuple is sorted.

    ``labels`` are those that a policy of the namespace asks for, the identity label always; ``v4`` and ``v6`` say
    which addresses the pod has.
    """

    namespace: str
    service_account: str
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    probes: tuple[Probe, ...] = ()
    v4: bool = True
    v6: bool = False

    def workload(self) -> Workload:
        """The pod as policies see it; it stands for all of its class, so its addresses are not known."""
        named = (ContainerPort(name, port.number) for port in self.ports for name in port.names)
        return Workload(
            self.namespace, self.service_account, self.service_account, dict(self.labels), ports=tuple(named)
        )


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All of the cluster that the classes of a namespace's pods rest on.

    ``asked`` are the labels that policies ask for, ``pod_cidrs`` as Installation has them.
    """

    services: tuple[ServiceValue, ...]
    asked: frozenset[str]
    enrolled: bool
    pod_cidrs: tuple[str, ...]


def surroundings(namespace: str, mesh: Mesh) -> Surroundings:
    """Those of a namespace in this snapshot."""
    known: dict[str, Surroundings] = mesh.kept.setdefault("surroundings", {})
    if namespace not in known:
        policy = mesh.effective(namespace)
        known[namespace] = Surroundings(
            tuple(mesh.services.get(namespace, ())),
            reach.asked_labels(policy),
            policy.enrolment is not Enrolment.NONE,
            mesh.world.installation.pod_cidrs,
        )
    return known[namespace]


def subject(pod: Object, mesh: Mesh) -> Subject:
    """The class of a Pod, whole as the API server has it (after injection)."""
    return of_pod(pod, surroundings(pod["metadata"].get("namespace", ""), mesh))


def of_pod(pod: Object, around: Surroundings) -> Subject:
    """The same, from what it rests on."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    namespace = metadata.get("namespace", "")
    account = spec.get("serviceAccountName") or "default"
    labels: Mapping[str, str] = metadata.get("labels") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    asked = tuple(sorted(set(_probes(containers))))
    v4, v6 = _families(pod, around.pod_cidrs)
    return Subject(
        namespace=namespace,
        service_account=account,
        labels=_asked(labels, around, account),
        ports=_ports(containers, asked, around.services, labels),
        probes=asked,
        v4=v4,
        v6=v6,
    )


def _asked(labels: Mapping[str, str], around: Surroundings, account: str) -> tuple[tuple[str, str], ...]:
    kept = {key: value for key, value in labels.items() if key in around.asked}
    if around.enrolled:
        # The identity is that of the ServiceAccount, with which the proxy has proved itself; never what a label says.
        kept[LABEL_IDENTITY] = account
    return tuple(sorted(kept.items()))


def _ports(
    containers: Iterable[Mapping[str, Any]],
    asked: Iterable[Probe],
    services: Iterable[ServiceValue],
    labels: Mapping[str, str],
) -> tuple[Port, ...]:
    """Ports of containers, of probes and of the Services that select the pod."""
    names: dict[int, set[str]] = {probe.port: set() for probe in asked}
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP" and not _is_proxy(container):
                names.setdefault(port["containerPort"], set()).update(filter(None, [port.get("name")]))
    told = speech.told_of(services, labels, names)
    numbers = (names.keys() | told.keys()) - proxy.RESERVED_PORTS
    return tuple(
        Port(each, tuple(sorted(names.get(each, ()))), speech.agreed(told.get(each, set()))) for each in sorted(numbers)
    )


def _is_proxy(container: Mapping[str, Any]) -> bool:
    return container.get("name") == proxy.CONTAINER


def _probes(containers: Iterable[Mapping[str, Any]]) -> Iterator[Probe]:
    for container in containers:
        hooks = container.get("lifecycle") or {}
        places = [container.get(f"{kind}Probe") for kind in ("readiness", "liveness", "startup")]
        for place in (*places, hooks.get("postStart"), hooks.get("preStop")):
            asked = (place or {}).get("httpGet") or {}
            found = probes.parse(asked.get("path") or "") if asked.get("port") == proxy.STATUS_PORT else None
            if found is not None and found.port not in proxy.RESERVED_PORTS:
                yield found


def _families(pod: Object, pod_cidrs: tuple[str, ...]) -> tuple[bool, bool]:
    """Which addresses the pod has; before it has any, those that the cluster gives to pods."""
    status = pod.get("status") or {}
    found = [each["ip"] for each in status.get("podIPs") or () if each.get("ip")]
    told = found or list(pod_cidrs)
    v6 = any(":" in each for each in told)
    return not told or any(":" not in each for each in told), v6
