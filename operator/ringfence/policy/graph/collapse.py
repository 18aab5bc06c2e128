"""The graph of a world, made readable: where there are many identities, namespaces or zones stand for them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from ringfence.model.world import World
from ringfence.policy.decide import Effective
from ringfence.policy.graph.draw import drawn
from ringfence.policy.graph.join import groups, joined, without_anyone
from ringfence.policy.graph.model import EVERYONE_OF, By, Change, Edge, Graph, Kind, Node, grouped
from ringfence.policy.graph.open import Calls

#: With more nodes than this, the next larger thing stands for them.
MANY: Final = 60


def of(world: World, effective: Effective, by: By | None = None) -> Graph:
    """The graph of a world; ``by`` None chooses what can still be read."""
    found = by or readable(world)
    nodes, calls = _drawn(world, effective, found)
    return _graph(found, nodes, ((Change.SAME, calls),), _zones(world))


def changed(old: tuple[World, Effective], new: tuple[World, Effective], by: By | None = None) -> Graph:
    """The graph of two worlds: what both have, what only the new one has, and what only the old one had."""
    found = by or readable(new[0])
    (nodes, before), (now, after) = (_drawn(*each, found) for each in (old, new))
    merged = {
        **{key: replace(node, change=Change.REMOVED) for key, node in nodes.items()},
        **{key: node if key in nodes else replace(node, change=Change.ADDED) for key, node in now.items()},
    }
    parts = (
        (
            Change.SAME,
            {ends: replace(open_ & before[ends], count=1) for ends, open_ in after.items() if ends in before},
        ),
        (Change.ADDED, _less(after, before)),
        (Change.REMOVED, _less(before, after)),
    )
    return _graph(found, merged, parts, {**_zones(old[0]), **_zones(new[0])})


def _less(calls: Calls, others: Calls) -> Calls:
    found = {ends: open_ - others[ends] if ends in others else open_ for ends, open_ in calls.items()}
    return {ends: open_ for ends, open_ in found.items() if not open_.empty}


def _drawn(world: World, effective: Effective, by: By) -> tuple[dict[str, Node], Calls]:
    nodes, calls = drawn(world, effective)
    return (nodes, calls) if by is By.IDENTITY else _collapsed(nodes, without_anyone(calls), by)


def _graph(by: By, nodes: dict[str, Node], parts: Iterable[tuple[Change, Calls]], zones: Mapping[str, str]) -> Graph:
    everyone = EVERYONE_OF[by]
    nodes = nodes | {everyone: Node(everyone, everyone, Kind.EVERYONE)}
    every = groups(nodes, by)
    edges = tuple(
        sorted(
            Edge(
                source,
                target,
                open_.tokens(),
                _crosses(nodes, zones, source, target),
                open_.surely,
                open_.count,
                change,
            )
            for change, calls in parts
            for (source, target), open_ in joined(calls, every).items()
            if not open_.empty
        )
    )
    used = {key for edge in edges for key in (edge.source, edge.target)}
    kept = (node for node in nodes.values() if node.kind not in (Kind.OUTSIDE, Kind.EVERYONE) or node.key in used)
    return Graph(by, tuple(sorted(kept)), edges)


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


def _zones(world: World) -> dict[str, str]:
    return {name: namespace.zone for name, namespace in world.namespaces.items()}


def _crosses(nodes: Mapping[str, Node], zones: Mapping[str, str], source: str, target: str) -> bool:
    return _zone(nodes, zones, source) != _zone(nodes, zones, target)


def _zone(nodes: Mapping[str, Node], zones: Mapping[str, str], key: str) -> str:
    """The zone that an end is in; what is open and what is outside are zones of their own."""
    match grouped(key):
        case (Kind.ZONE, name):
            return name
        case (_, name):
            return zones[name]
        case _:
            node = nodes[key]
            return node.zone if node.kind in (Kind.IDENTITY, Kind.NAMESPACE, Kind.ZONE) else f"({node.kind})"
