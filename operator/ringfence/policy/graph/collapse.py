"""Larger graphs made readable: namespaces or zones stand for their identities."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.graph.draw import drawn
from ringfence.policy.graph.model import By, Edge, Graph, Kind, Node

#: With more nodes than this, the next larger thing stands for them.
MANY: Final = 60


def of(world: World, effective: Effective, by: By | None = None) -> Graph:
    """The graph of a world; ``by`` None chooses what can still be read."""
    found = by or readable(world)
    if found is By.IDENTITY:
        return drawn(world, effective)
    return collapsed(drawn(world, effective, in_groups=False), found)


def readable(world: World) -> By:
    """The smallest things of which there are not too many to be looked at."""
    if sum(len(each) for each in world.identities.values()) <= MANY:
        return By.IDENTITY
    return By.NAMESPACE if len(world.namespaces) <= MANY else By.ZONE


def collapsed(graph: Graph, by: By) -> Graph:
    """The same with one node for each namespace or zone; edges inside of one are left out."""
    standing = {node.key: _standing(node, by) for node in graph.nodes}
    sizes: dict[str, int] = defaultdict(int)
    for node in graph.nodes:
        sizes[standing[node.key].key] += node.size
    found: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in graph.edges:
        source, target = standing[edge.source].key, standing[edge.target].key
        if source != target:
            found[source, target].append(edge)
    nodes = {node.key: node for node in standing.values()}
    return Graph(
        by,
        tuple(sorted(Node(n.key, n.name, n.kind, n.namespace, n.zone, sizes[n.key]) for n in nodes.values())),
        tuple(sorted(_together(nodes, *ends, edges) for ends, edges in found.items())),
    )


def _standing(node: Node, by: By) -> Node:
    """What stands for a node."""
    if node.kind is not Kind.IDENTITY:
        return node
    if by is By.ZONE and node.zone:
        return Node(node.zone, node.zone, Kind.ZONE, "", node.zone)
    return Node(node.namespace, node.namespace, Kind.NAMESPACE, node.namespace, node.zone)


def _together(nodes: Mapping[str, Node], source: str, target: str, edges: Iterable[Edge]) -> Edge:
    every = list(edges)
    ports = sorted({port for edge in every for port in edge.ports}, key=_order)
    crosses = any(edge.crosses for edge in every)
    return Edge(source, target, tuple(ports), crosses, all(edge.surely for edge in every), len(every))


def _order(port: str) -> tuple[bool, int, str]:
    digits = port.partition("-")[0].partition("/")[0]
    return not digits.isdigit(), int(digits) if digits.isdigit() else 0, port
