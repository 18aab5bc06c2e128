"""Addresses and names of a cluster on this machine, all from its name and one small number.

Several clusters can live beside each other: the number keeps their networks and ports apart.
"""

from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.apiserver import Endpoints

MAX_CLUSTERS = 16
MAX_NODES = 9
DEFAULT_NODES = 2
"""Rollout of DaemonSets and policy between nodes need two; a second costs two seconds."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: a network, mount and process namespace with a kubelet in it."""

    name: str
    """Also the name of its network namespace."""
    number: int
    address: str
    gateway: str
    """The machine's end of the bridge that joins the nodes."""
    pod_cidr: str
    veth: str
    """The machine's end of its cable."""
    cgroup: str
    """Where its pods are, below every cgroup hierarchy."""
    directory: Path
    address6: str = ""
    """In clusters of both families; so are the next two."""
    gateway6: str = ""
    pod_cidr6: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """One of each family that the cluster has, IPv4 first."""
        return tuple(each for each in (self.address, self.address6) if each)

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        """One of each family that the cluster has, IPv4 first."""
        return tuple(each for each in (self.pod_cidr, self.pod_cidr6) if each)


@dataclass(frozen=True, slots=True)
class Layout:
    """One cluster: 10.89.N.0/24 joins its nodes, 10.(128+N).0.0/16 is its pods', 10.(160+N).0.0/16 its Services'.

    One of both families has fd89:0:N::/64, fd89:1:N::/48 and fd89:2:N::/112 beside them (RFC 4193).
    """

    name: str
    index: int
    """From 0 to 15."""
    node_count: int
    directory: Path
    dual: bool = False
    """Whether pods, nodes and Services may have IPv6 addresses, too."""

    @property
    def bridge(self) -> str:
        """The interface that joins the nodes."""
        return f"rfbr{self.index}"

    @property
    def host_address(self) -> str:
        """The machine itself, as the nodes see it."""
        return f"10.89.{self.index}.1"

    @property
    def host_address6(self) -> str:
        """The same in IPv6; empty where there is none."""
        return f"fd89:0:{self.index}::1" if self.dual else ""

    @property
    def outside_address(self) -> str:
        """An address that belongs to no pod, node or Service (TEST-NET-2): what tests call the outside world."""
        return f"198.51.100.{self.index + 1}"

    @property
    def pod_cidr(self) -> str:
        """All pods of all nodes."""
        return f"10.{128 + self.index}.0.0/16"

    @property
    def pod_cidrs(self) -> tuple[str, ...]:
        """The same for each family."""
        return (self.pod_cidr, f"fd89:1:{self.index}::/48") if self.dual else (self.pod_cidr,)

    @property
    def service_cidr(self) -> str:
        """All cluster IPs."""
        return f"10.{160 + self.index}.0.0/16"

    @property
    def service_cidrs(self) -> tuple[str, ...]:
        """The same for each family."""
        return (self.service_cidr, f"fd89:2:{self.index}::/112") if self.dual else (self.service_cidr,)

    @property
    def dns_address(self) -> str:
        """The kube-dns Service."""
        return f"10.{160 + self.index}.0.10"

    @property
    def registry_port(self) -> int:
        """On the machine's loopback and on its end of the bridge."""
        return registry_port(self.index)

    @property
    def registry(self) -> str:
        """What image names begin with, on the machine and in pods alike."""
        return f"localhost:{self.registry_port}"

    @property
    def registry_inside(self) -> str:
        """The same registry by an address that programs in pods reach, where localhost is the pod itself."""
        return f"{self.host_address}:{self.registry_port}"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes; the control plane runs on the first."""
        return tuple(self._node(number) for number in range(1, self.node_count + 1))

    @property
    def endpoints(self) -> Endpoints:
        """The control plane's addresses."""
        return Endpoints(
            host=self._node(1).address,
            port=6443,
            etcd_port=2379,
            etcd_peer_port=2380,
            service_cidr=",".join(self.service_cidrs),
            service_address=f"10.{160 + self.index}.0.1",
        )

    @property
    def server(self) -> str:
        """The API server's URL, for the machine, the nodes and the pods alike."""
        return f"https://{self.endpoints.host}:{self.endpoints.port}"

    def _node(self, number: int) -> Node:
        name = f"{self.name}-{number}"
        return Node(
            name=name,
            number=number,
            address=f"10.89.{self.index}.{10 + number}",
            gateway=self.host_address,
            pod_cidr=f"10.{128 + self.index}.{number}.0/24",
            veth=f"rfv{self.index}n{number}",
            cgroup=f"rf-{name}",
            directory=self.directory / "nodes" / str(number),
            address6=f"fd89:0:{self.index}::{10 + number}" if self.dual else "",
            gateway6=self.host_address6,
            pod_cidr6=f"fd89:1:{self.index}:{number}::/64" if self.dual else "",
        )


def registry_port(index: int) -> int:
    """The registry's port in cluster number `index`."""
    return 5001 + index
