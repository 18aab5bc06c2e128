"""Graphs of who may call whom, as values."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Nodes for all who can call, for all addresses outside, and for networks and hosts too many to be shown one by one.
ANYONE: Final = "anyone"
ANYWHERE: Final = "any address outside"
MANY_NETWORKS: Final = "many networks"
MANY_HOSTS: Final = "many hosts"


class By(StrEnum):
    """What a node stands for."""

    IDENTITY = "identity"
    NAMESPACE = "namespace"
    ZONE = "zone"


#: The node for all of what a graph shows.
EVERYONE_OF: Final = {By.IDENTITY: "every identity", By.NAMESPACE: "every namespace", By.ZONE: "every zone"}


class Kind(StrEnum):
    """What a node is."""

    IDENTITY = "identity"
    NAMESPACE = "namespace"
    ZONE = "zone"
    #: Pods that nothing governs: not enrolled, or not closed.
    OPEN = "open"
    OUTSIDE = "outside"
    EVERYONE = "everyone"


class Change(StrEnum):
    """What became of something since another state of the policies."""

    SAME = ""
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """An end of calls. ``key`` is unique; ``size`` counts the identities that it stands for."""

    key: str
    name: str
    kind: Kind
    namespace: str = ""
    zone: str = ""
    size: int = 1
    change: Change = Change.SAME


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """Calls that are allowed, by the keys of nodes or groups (``zone:NAME``, ``namespace:NAME``), on ``ports``.

    ``crosses`` says that they leave a zone or come from outside, ``surely`` is false where they rest on something that
    is not known, ``count`` says of how many pairs of identities this is.
    """

    source: str
    target: str
    ports: tuple[str, ...]
    crosses: bool = False
    surely: bool = True
    count: int = 1
    change: Change = Change.SAME


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by key and edges by their ends; ``by`` is what most nodes stand for."""

    by: By
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def group(kind: Kind, name: str) -> str:
    """The key of a group: a zone or a namespace as a whole."""
    return f"{kind}:{name}"


def grouped(key: str) -> tuple[Kind, str] | None:
    """The group that a key names, None for the key of a node."""
    kind, colon, name = key.partition(":")
    return (Kind(kind), name) if colon and kind in (Kind.ZONE, Kind.NAMESPACE) else None
