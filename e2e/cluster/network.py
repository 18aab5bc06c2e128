"""The wires between nodes: a bridge on the machine, and for each node a network namespace with one cable to it.

Nothing else of the machine's network is touched: no forwarding, no address translation, no firewall rules. Pods
therefore reach each other, the nodes and the machine, and nothing beyond: tests cannot leak traffic.
"""

import os
from pathlib import Path

from e2e.cluster.command import attempt, run
from e2e.cluster.layout import Layout, Node

_NETNS_MARK = "mounted-netns"


def create_bridge(layout: Layout) -> None:
    """The machine's side: the bridge, its addresses, and routes to pods and Services through the nodes."""
    bridge = layout.bridge
    if not _exists(bridge):
        run("ip", "link", "add", bridge, "type", "bridge")
    run("ip", "address", "replace", f"{layout.host_address}/24", "dev", bridge)
    run("ip", "address", "replace", f"{layout.outside_address}/32", "dev", bridge)
    if layout.dual:
        run("ip", "address", "replace", f"{layout.host_address6}/64", "dev", bridge, "nodad")
    run("ip", "link", "set", bridge, "up")
    for node in layout.nodes:
        for cidr, address in zip(node.pod_cidrs, node.addresses, strict=True):
            run("ip", "route", "replace", cidr, "via", address)
    for cidr, address in zip(layout.service_cidrs, layout.nodes[0].addresses, strict=True):
        run("ip", "route", "replace", cidr, "via", address)


def create_namespace(layout: Layout, node: Node) -> None:
    """The node's side: its namespace, its cable, and routes to the other nodes' pods."""
    if not Path(f"/run/netns/{node.name}").exists():
        mounted = os.path.ismount("/run/netns")
        run("ip", "netns", "add", node.name)
        if not mounted:
            (layout.directory / _NETNS_MARK).touch()
    if not _exists(node.veth):
        run("ip", "link", "add", node.veth, "type", "veth", "peer", "name", "eth0", "netns", node.name)
    run("ip", "link", "set", node.veth, "master", layout.bridge, "up")
    inside = ("ip", "-netns", node.name)
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "address", "replace", f"{node.address}/24", "dev", "eth0")
    if layout.dual:
        run(*inside, "address", "replace", f"{node.address6}/64", "dev", "eth0", "nodad")
    run(*inside, "link", "set", "eth0", "up")
    run(*inside, "route", "replace", "default", "via", node.gateway)
    if layout.dual:
        run(*inside, "-6", "route", "replace", "default", "via", node.gateway6)
    for other in layout.nodes:
        if other != node:
            for cidr, address in zip(other.pod_cidrs, other.addresses, strict=True):
                run(*inside, "route", "replace", cidr, "via", address)
    _forward(layout, node)


def delete(layout: Layout) -> None:
    """Removes all of it; routes and cables go with the interfaces."""
    for node in layout.nodes:
        attempt("ip", "link", "delete", node.veth)
        if Path(f"/run/netns/{node.name}").exists():
            run("ip", "netns", "delete", node.name)
    if _exists(layout.bridge):
        run("ip", "link", "delete", layout.bridge)
    if (layout.directory / _NETNS_MARK).exists() and not any(Path("/run/netns").iterdir()):
        # What `ip netns add` has mounted for the first namespace of this machine goes with the last.
        run("umount", "/run/netns")
        Path("/run/netns").rmdir()


def bridge_in_use(index: int) -> bool:
    """Whether something on this machine has the name that cluster number `index` would give its bridge."""
    return _exists(f"rfbr{index}")


def _forward(layout: Layout, node: Node) -> None:
    settings = ["net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding"]
    settings += ["net/ipv6/conf/all/forwarding"] if layout.dual else []
    script = "; ".join(f"echo 1 > /proc/sys/{setting}" for setting in settings)
    run("nsenter", f"--net=/run/netns/{node.name}", "--", "sh", "-ec", script)


def _exists(interface: str) -> bool:
    return Path(f"/sys/class/net/{interface}").exists()
