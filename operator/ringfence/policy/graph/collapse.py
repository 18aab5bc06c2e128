"""The graph of a world, made readable: where there are many identities, namespaces or zones stand for them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.graph.draw import drawn
from ringfence.policy.graph.join import groups, joined
from ringfence.policy.graph.model import EVERYONE_OF, By, Edge, Graph, Kind, Node, grouped
from ringfence.policy.graph.open import Calls

#: With more nodes than this, the next larger thing stands for them.
MANY: Final = 60


def of(world: World, effective: Effective, by: By | None = None) -> Graph:
    """The graph of a world; ``by`` None chooses what can still be read."""
    found = by or readable(world)
    nodes, calls = drawn(world, effective)
    if found is not By.IDENTITY:
        nodes, calls = _collapsed(nodes, calls, found)
    calls = joined(calls, groups(nodes, found))
    nodes = nodes | {EVERYONE_OF[found]: Node(EVERYONE_OF[found], EVERYONE_OF[found], Kind.EVERYONE)}
    edges = tuple(sorted(_edges(world, nodes, calls)))
    used = {key for edge in edges for key in (edge.source, edge.target)}
    kept = (node for node in nodes.values() if node.kind not in (Kind.OUTSIDE, Kind.EVERYONE) or node.key in used)
    return Graph(found, tuple(sorted(kept)), edges)


def readable(world: World) -> By:
    """The smallest things of which there are not too many to be looked at."""
    if sum(len(each) for each in world.identities.values()) <= MANY:
        return By.IDENTITY
    return By.NAMESPACE if len(world.namespaces) <= MANY else By.ZONE


def _collapsed(nodes: Mapping[str, Node], calls: Calls, by: By) -> tuple[dict[str, Node], Calls]:
    """One node for each namespace or zone; what is inside of one is left out."""
    standing = {key: _standing(node, by) for key, node in nodes.items()}
    sizes: dict[str, int] = defaultdict(int)
    for key, node in nodes.items():
        sizes[standing[key].key] += node.size
    found: Calls = {}
    for (source, target), open_ in calls.items():
        ends = standing[source].key, standing[target].key
        if ends[0] != ends[1]:
            found[ends] = found[ends] | open_ if ends in found else open_
    return {node.key: replace(node, size=sizes[node.key]) for node in standing.values()}, found


def _standing(node: Node, by: By) -> Node:
    """What stands for a node."""
    if node.kind is not Kind.IDENTITY:
        return node
    if by is By.ZONE and node.zone:
        return Node(f"{node.zone}/", node.zone, Kind.ZONE, "", node.zone)
    return Node(f"{node.namespace}/", node.namespace, Kind.NAMESPACE, node.namespace, node.zone)


def _edges(world: World, nodes: Mapping[str, Node], calls: Calls) -> Iterator[Edge]:
    for (source, target), open_ in calls.items():
        crosses = _zone(world, nodes, source) != _zone(world, nodes, target)
        yield Edge(source, target, open_.tokens(), crosses, open_.surely, open_.count)


def _zone(world: World, nodes: Mapping[str, Node], key: str) -> str:
    """The zone that an end is in; what is open and what is outside are zones of their own."""
    match grouped(key):
        case (Kind.ZONE, name):
            return name
        case (_, name):
            return world.namespaces[name].zone
        case _:
            node = nodes[key]
            return node.zone if node.kind in (Kind.IDENTITY, Kind.NAMESPACE, Kind.ZONE) else f"({node.kind})"
