"""The two ends of a call: a pod, or an address, or (as a target) a host outside by its name."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.resources import Protocol
from ringfence.model.world import ContainerPort, Enrolment, Workload, World


@dataclass(frozen=True, slots=True)
class Address:
    """An address, IPv4 or IPv6, as ``ipaddress`` reads it."""

    ip: str


@dataclass(frozen=True, slots=True)
class Host:
    """A host outside by its name, in lower case and without a dot at the end; which addresses it has nobody knows."""

    name: str


End = Workload | Address
#: What can be called.
Called = End | Host


def locate(world: World, end: End) -> End:
    """The pod that has an address, else the end as it is. The pod then has this address only.

    Pods in the network of their node share its address with others, so they stay an address.
    """
    if isinstance(end, Workload):
        return end
    wanted = ipaddress.ip_address(end.ip)
    if isinstance(wanted, ipaddress.IPv6Address) and wanted.ipv4_mapped is not None:
        wanted = wanted.ipv4_mapped  # the same packets on the wire
    for pods in world.workloads.values():
        for pod in pods:
            if pod.finished or pod.host_network:
                continue
            if any(ipaddress.ip_address(ip) == wanted for ip in pod.ips):
                return replace(pod, ips=(str(wanted),))
    return Address(str(wanted))


def called(world: World, end: Called) -> Called:
    """The same for what is called."""
    return end if isinstance(end, Host) else locate(world, end)


def namespace_labels(world: World, namespace: str) -> Mapping[str, str]:
    """The labels of a Namespace; of one that is not known only its name."""
    known = world.namespaces.get(namespace)
    return known.labels if known is not None else {LABEL_NAMESPACE_NAME: namespace}


def admitted(world: World, workload: Workload) -> Workload:
    """The workload as admission would leave it: with its identity label where its namespace is enrolled."""
    namespace = world.namespaces.get(workload.namespace)
    if namespace is None or namespace.enrolment is Enrolment.NONE or workload.labelled:
        return workload
    return replace(workload, labels={**workload.labels, LABEL_IDENTITY: workload.service_account})


def bearers(world: World, namespace: str, identity: str) -> tuple[Workload, ...]:
    """The pods that run under a ServiceIdentity, or one without further labels when none runs.

    Raises CannotTell when there is no such identity.
    """
    found = world.identities.get(namespace, {}).get(identity)
    if found is None:
        raise CannotTell(f"there is no ServiceIdentity {identity} in namespace {namespace}")
    account = found.service_account
    running = (pod for pod in world.workloads.get(namespace, ()) if pod.service_account == account and not pod.finished)
    pods = tuple(admitted(world, pod) for pod in running)
    return pods or (admitted(world, Workload(namespace, identity, account)),)


def port_number(target: Called, name: str, protocol: Protocol) -> int:
    """The port that a name stands for at the target; raises CannotTell when it stands for none."""
    ports: tuple[ContainerPort, ...] = target.ports if isinstance(target, Workload) else ()
    for port in ports:
        if port.name == name and port.protocol is protocol:
            return port.port
    names = sorted({port.name for port in ports if port.name and port.protocol is protocol})
    known = f", only {', '.join(names)}" if names else ""
    raise CannotTell(f"the target has no {protocol} port named {name!r}{known}: give its number")


def port_names(target: Called, number: int, protocol: Protocol) -> frozenset[str]:
    """The names that the target gives to a port."""
    if not isinstance(target, Workload):
        return frozenset()
    return frozenset(p.name for p in target.ports if p.name and p.port == number and p.protocol is protocol)
