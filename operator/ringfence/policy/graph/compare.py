"""Two graphs as one: what has come, gone or changed."""

from collections.abc import Iterator
from dataclasses import replace

from ringfence.policy.graph.model import Change, Edge, Graph


def compared(old: Graph, new: Graph) -> Graph:
    """The new graph with its changes marked, and what is gone from the old one; both are drawn alike."""
    nodes = {node.key: node for node in old.nodes}
    found = {
        **{key: replace(node, change=Change.REMOVED) for key, node in nodes.items()},
        **{n.key: replace(n, change=Change.SAME if n.key in nodes else Change.ADDED) for n in new.nodes},
    }
    return Graph(new.by, tuple(sorted(found.values())), tuple(sorted(_edges(old, new))))


def _edges(old: Graph, new: Graph) -> Iterator[Edge]:
    before = {(edge.source, edge.target): edge for edge in old.edges}
    after = {(edge.source, edge.target): edge for edge in new.edges}
    for ends, edge in before.items():
        if ends not in after:
            yield replace(edge, change=Change.REMOVED)
    for ends, edge in after.items():
        was = before.get(ends)
        if was is None:
            yield replace(edge, change=Change.ADDED)
        elif was.ports == edge.ports:
            yield edge
        else:
            yield replace(edge, change=Change.CHANGED, before=was.ports)
