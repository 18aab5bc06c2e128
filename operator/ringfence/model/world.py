"""The cluster as far as a decision needs it: namespaces, pods, and the settings of this installation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_NAMESPACE_NAME, LABEL_ZONE
from ringfence.model.proxy_settings import Tracing
from ringfence.model.resources import ClusterSecurityPolicy, Protocol, SecurityPolicy, ServiceIdentity


class Enrolment(StrEnum):
    """The values of the label ``ringfence.dev/enroll``; anything else, or no label, is NONE."""

    NONE = "none"
    AUDIT = "audit"
    ENFORCE = "enforce"


_ENROLLED: Final = {each.value: each for each in (Enrolment.AUDIT, Enrolment.ENFORCE)}


@dataclass(frozen=True, slots=True)
class Namespace:
    """A Namespace and its labels (``kubernetes.io/metadata.name`` is always among them)."""

    name: str
    labels: Mapping[str, str]
    terminating: bool = False
    #: Whether Ringfence has recorded that this namespace is closed (see reconcile.staging); never goes back by itself.
    enforced: bool = False

    @property
    def enrolment(self) -> Enrolment:
        return _ENROLLED.get(self.labels.get(LABEL_ENROLL, ""), Enrolment.NONE)

    @property
    def zone(self) -> str:
        """The zone's name, or "" for none."""
        return self.labels.get(LABEL_ZONE, "")

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str] | None = None, **rest: bool) -> "Namespace":
        """A Namespace with the label that the API server adds to every one."""
        return cls(name, {**(labels or {}), LABEL_NAMESPACE_NAME: name}, **rest)


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A named port of a container."""

    name: str
    port: int
    protocol: Protocol = Protocol.TCP


@dataclass(frozen=True, slots=True)
class Workload:
    """A pod, or the pods that a workload's template would make. ``ips`` is empty for templates.

    ``labels`` are the pod's, ``ringfence.dev/identity`` among them once admission has set it.
    """

    namespace: str
    name: str
    service_account: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ips: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    host_network: bool = False
    #: Pod, Deployment, ...: what was read.
    kind: str = "Pod"
    finished: bool = False
    #: Whether the proxy is in it: it then answers in mutual TLS.
    proxied: bool = False
    #: Whether it could go past its NetworkPolicies or its proxy; known of pods that run, by the controller alone.
    ways_past: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the pod carries the identity label of its own ServiceAccount."""
        return self.labels.get(LABEL_IDENTITY) == self.service_account


@dataclass(frozen=True, slots=True)
class OpenService:
    """Pods that every enrolled pod may always reach: DNS, and Ringfence's own services.

    ``ports`` are (protocol, port) of the serving pods; ``addresses`` are CIDRs beside the pods (a node-local cache), or
    alone, where ``namespace`` is "".
    """

    name: str
    namespace: str
    pod_labels: Mapping[str, str]
    ports: tuple[tuple[Protocol, int], ...]
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Installation:
    """What the platform team set in the chart, and what was found out about the cluster.

    ``pod_cidrs`` are the pods' ranges; ``cidr_covers_pods`` False (the default) subtracts them from every ``cidr``
    peer. ``api_server`` are (address, port) of the API server's endpoints. ``exempt_namespaces`` are never enrolled,
    whatever their labels say, like those of Kubernetes and of Ringfence itself.
    """

    trust_domain: str = "cluster.local"
    namespace: str = "ringfence-system"
    pod_cidrs: tuple[str, ...] = ()
    cidr_covers_pods: bool = False
    api_server: tuple[tuple[str, int], ...] = ()
    exempt_namespaces: tuple[str, ...] = ()
    #: Networks that names of hosts may lead to although they are not global, and those that they never do.
    host_open: tuple[str, ...] = ()
    host_closed: tuple[str, ...] = ()
    #: Hosts (patterns of model.hosts) from which proxies may fetch keys of issuers; nobody else's are declared.
    jwks_hosts: tuple[str, ...] = ()
    #: Whether pods of enrolled namespaces get proxies.
    proxies: bool = False
    #: Where their proxies send spans, None for nowhere.
    tracing: Tracing | None = None
    open_services: tuple[OpenService, ...] = (
        OpenService(
            name="dns",
            namespace="kube-system",
            pod_labels={"k8s-app": "kube-dns"},
            ports=((Protocol.TCP, 53), (Protocol.UDP, 53)),
        ),
    )


@dataclass(frozen=True, slots=True)
class World:
    """Everything that resolve reads, by namespace, so that one namespace is resolved without a look at the others.

    ``identities`` maps namespace to name to ServiceIdentity; ``policies`` and ``workloads`` map namespace to tuples
    sorted by name. The mappings may be live views of a cache: read them within one turn of the event loop.
    """

    installation: Installation
    namespaces: Mapping[str, Namespace] = field(default_factory=dict)
    identities: Mapping[str, Mapping[str, ServiceIdentity]] = field(default_factory=dict)
    policies: Mapping[str, tuple[SecurityPolicy, ...]] = field(default_factory=dict)
    cluster_policies: tuple[ClusterSecurityPolicy, ...] = ()
    workloads: Mapping[str, tuple[Workload, ...]] = field(default_factory=dict)
    #: Names (sorted) of the NetworkPolicies of each namespace that are not Ringfence's.
    strangers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
