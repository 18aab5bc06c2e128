"""Where cases run: the port that every ground implements, and the ground that needs no cluster."""

from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Protocol as Port
from typing import Self

from e2e.enforcer import nft
from e2e.enforcer.model import NamedPort, NodeFacts, Pod, World
from e2e.netpol import state
from e2e.netpol.expect import Kind, Place
from e2e.netpol.fabric import NODES, OUTSIDE, Fabric
from e2e.netpol.prober import Attempt, Prober, Site
from e2e.netpol.state import State

STRANGER = "stranger"


class Ground(Port):
    """Something with pods in it that NetworkPolicies are enforced on. Used in a ``with`` statement that cleans up."""

    title: str
    patience: float
    """Seconds that a change may take until it is in force; 0 when ``become`` returns only then."""

    @property
    def places(self) -> Mapping[str, Place]:
        """Every place that probes go from and to, by name."""

    def become(self, wanted: State) -> None:
        """Bring pods, labels and policies to what is wanted."""

    def reached(self, tried: Collection[Attempt], expected: Collection[Attempt]) -> set[Attempt]:
        """Return which of ``tried`` get through; what is not expected is not waited for."""


class FabricGround:
    """Network namespaces instead of a cluster: judges the rules themselves, without API server, kubelet or watches."""

    patience = 0.0

    def __init__(self, version: int = 4) -> None:
        """For IP ``version`` 4 or 6."""
        self.title = f"network namespaces, IPv{version}"
        self._fabric = Fabric(version)
        self._prober = Prober(state.PORTS)
        self._places: dict[str, Place] = {}
        for number, site in enumerate([*self._fabric.node_sites(), self._fabric.outside]):
            self._add(site, Kind.OUTSIDE if site.name == OUTSIDE else Kind.NODE, site.name if number < 2 else "")
        self._add(self._fabric.add_pod(STRANGER, NODES[0]), Kind.STRANGER, NODES[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._prober.close()
        self._fabric.close()

    @property
    def places(self) -> Mapping[str, Place]:
        """Every place that probes go from and to, by name."""
        return self._places

    def become(self, wanted: State) -> None:
        """Wire and unwire pods, and load the rules on both nodes. Raises KernelError."""
        here = {each.name for each in self._places.values() if each.kind is Kind.POD}
        for name in sorted(here - wanted.pods.keys()):
            self._prober.remove(name)
            self._fabric.remove_pod(name, self._places.pop(name).node)
        for name in sorted(wanted.pods.keys() - here):
            # By the pod's name, so that namespaces and selectors both cut across the nodes.
            node = NODES[ord(name[-1]) % len(NODES)]
            self._add(self._fabric.add_pod(name, node), Kind.POD, node)
        self._fabric.load(nft.render(self._world(wanted), NodeFacts(self._fabric.pod_ranges)))

    def reached(self, tried: Collection[Attempt], expected: Collection[Attempt]) -> set[Attempt]:
        """Probe by packets."""
        return self._prober.reached(tried, expected)

    def _add(self, site: Site, kind: Kind, node: str) -> None:
        self._places[site.name] = Place(site.name, kind, site.address, node)
        self._prober.add(site)

    def _world(self, wanted: State) -> World:
        ports = tuple(
            NamedPort(state.port_name(port, protocol), port, protocol)
            for port in state.PORTS
            for protocol in state.PROTOCOLS
        )
        pods = []
        for name, labels in wanted.pods.items():
            namespace, _, pod = name.partition("/")
            pods.append(Pod(namespace, pod, labels, (ip_address(self._places[name].address),), ports))
        return World(tuple(pods), wanted.namespaces, tuple(wanted.policies.values()))
