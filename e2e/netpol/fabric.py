"""A cluster's network without a cluster: two nodes, pods behind them, a host outside, in network namespaces.

Pods are wired as the ptp plugin wires them (a veth each, routed by the node), spread over both nodes, so that the rules
are judged in the forward path of each, and so is traffic between nodes. Nothing touches the machine's own network.
"""

import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Self

from e2e.enforcer import kernel
from e2e.enforcer.model import Address, Network
from e2e.enforcer.netns import Namespace
from e2e.netpol.prober import Site

POD_RANGES: dict[int, tuple[Network, Network]] = {
    4: (IPv4Network("10.244.1.0/24"), IPv4Network("10.244.2.0/24")),
    6: (IPv6Network("fd00:244:1::/64"), IPv6Network("fd00:244:2::/64")),
}
LINKS: dict[int, tuple[Network, Network]] = {
    4: (IPv4Network("198.18.0.0/30"), IPv4Network("192.0.2.0/30")),
    6: (IPv6Network("fd00:18::/126"), IPv6Network("2001:db8::/126")),
}
"""Between the nodes, and from the first node to the outside."""
GATEWAY = {4: "169.254.1.1", 6: "fe80::1"}
NODES = ("node-1", "node-2")
OUTSIDE = "outside"


class FabricError(Exception):
    """The network could not be built; the message has what ``ip`` said."""


@dataclass(frozen=True, slots=True)
class _Node:
    namespace: Namespace
    address: Address
    pod_range: Network


class Fabric:
    """The network. Use in a ``with`` statement; all of it is gone afterwards, and when the process is killed."""

    def __init__(self, version: int = 4) -> None:
        """Build the nodes and the outside, for IP ``version`` 4 or 6. Raises FabricError, OSError (needs root)."""
        self.version = version
        self._pods: dict[str, tuple[Namespace, int]] = {}
        self._made = 0
        self._spaces = [Namespace.new() for _ in range(3)]
        first, second, outside = self._spaces
        link, uplink = LINKS[version]
        self.nodes = {
            name: _Node(namespace, link[number], POD_RANGES[version][number - 1])
            for number, (name, namespace) in enumerate(zip(NODES, (first, second), strict=True), 1)
        }
        self.outside = Site(OUTSIDE, outside, str(uplink[2]))
        self._connect(first, second, "to-node-2", "to-node-1", link)
        self._connect(first, outside, "to-outside", "to-node-1", uplink)
        self._ip(first, f"route add {POD_RANGES[version][1]} via {link[2]} src {link[1]}")
        self._ip(second, f"route add default via {link[1]} src {link[2]}")
        self._ip(outside, f"route add default via {uplink[1]}")
        for space in (first, second):
            _forward(space)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every namespace; the kernel takes the rest down with them."""
        for namespace in [*self._spaces, *(each for each, _ in self._pods.values())]:
            namespace.close()
        self._spaces.clear()
        self._pods.clear()

    @property
    def pod_ranges(self) -> tuple[Network, ...]:
        """Every address that a pod may get."""
        return POD_RANGES[self.version]

    def node_sites(self) -> list[Site]:
        """The nodes as sites."""
        return [Site(name, node.namespace, str(node.address)) for name, node in self.nodes.items()]

    def add_pod(self, name: str, node: str) -> Site:
        """Wire a pod to a node; returns it as a site. Its address is never used again."""
        self._made += 1
        home, interface = self.nodes[node], f"pod{self._made}"
        address = home.pod_range[self._made + 1]
        namespace = Namespace.new()
        self._pods[name] = (namespace, self._made)
        prefix, gateway = home.pod_range.max_prefixlen, GATEWAY[self.version]
        self._ip(
            home.namespace,
            f"link add {interface} type veth peer name eth0 netns {namespace.path}",
            f"addr add {gateway}/{prefix if self.version == 4 else 64} dev {interface} nodad",
            f"link set {interface} up",
            f"route add {address}/{prefix} dev {interface} src {home.address}",
        )
        self._ip(
            namespace,
            "link set lo up",
            f"addr add {address}/{prefix} dev eth0 nodad",
            "link set eth0 up",
            f"route add {gateway} dev eth0",
            f"route add default via {gateway} dev eth0",
        )
        return Site(name, namespace, str(address))

    def remove_pod(self, name: str, node: str) -> None:
        """Take a pod away."""
        namespace, number = self._pods.pop(name)
        self._ip(self.nodes[node].namespace, f"link del pod{number}")
        namespace.close()

    def load(self, text: str) -> None:
        """Put the rules in force on both nodes. Raises KernelError."""
        for node in self.nodes.values():
            kernel.load(text, node.namespace)

    def _connect(self, left: Namespace, right: Namespace, left_name: str, right_name: str, link: Network) -> None:
        self._ip(left, "link set lo up", f"link add {left_name} type veth peer name {right_name} netns {right.path}")
        for space, interface, address in ((left, left_name, link[1]), (right, right_name, link[2])):
            self._ip(
                space,
                "link set lo up",
                f"addr add {address}/{link.prefixlen} dev {interface} nodad",
                f"link set {interface} up",
            )

    def _ip(self, namespace: Namespace, *commands: str) -> None:
        # nodad keeps IPv6 addresses from being tentative for seconds; for IPv4 ip refuses the word.
        lines = [each.removesuffix(" nodad") if self.version == 4 else each for each in commands]
        try:
            with namespace.entered():
                done = subprocess.run(
                    ["ip", f"-{self.version}", "-batch", "-"],
                    input="\n".join(lines) + "\n",
                    text=True,
                    capture_output=True,
                    check=False,
                    timeout=30,
                )
        except FileNotFoundError as error:
            raise FabricError("there is no ip program: install Debian's package iproute2") from error
        if done.returncode != 0:
            raise FabricError(f"ip refused {lines}: {done.stderr.strip()}")


def _forward(namespace: Namespace) -> None:
    with namespace.entered():
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        for kind in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{kind}/forwarding").write_text("1")
