"""What of a graph is drawn: boxes in boxes, arrows between them, and the words on each. Sizes are in points."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ringfence.policy.graph.model import Change, Edge, Graph, Kind, Node, grouped

#: Of one character of a label, and around it.
_WIDE: Final = 6.7
_MARGIN: Final = 26.0
NODE_HEIGHT: Final = 26.0
LABEL_HEIGHT: Final = 15.0
#: The longest label of an arrow; all of it is in its tooltip.
MAX_LABEL: Final = 26


@dataclass(frozen=True, slots=True)
class Box:
    """A node: ``text`` in it, ``about`` in its tooltip, ``style`` a word for how it is drawn."""

    key: str
    text: str
    about: str
    style: str
    change: Change = Change.SAME

    @property
    def width(self) -> float:
        return round(max(64.0, len(self.text) * _WIDE + _MARGIN), 1)


@dataclass(frozen=True, slots=True)
class Frame:
    """A zone or a namespace around boxes and other frames."""

    key: str
    text: str
    style: str
    boxes: tuple[Box, ...]
    frames: "tuple[Frame, ...]" = ()

    @property
    def width(self) -> float:
        return round(len(self.text) * _WIDE + _MARGIN, 1)


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge between boxes."""

    source: str
    target: str
    text: str
    about: str
    edge: Edge

    @property
    def width(self) -> float:
        """Of its label, with room for the mark of a crossing."""
        return round(len(self.text) * _WIDE + (16.0 if self.edge.crosses else 6.0), 1)


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a picture. ``top`` are boxes in no frame."""

    title: str
    about: str
    frames: tuple[Frame, ...]
    top: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    #: Styles and changes that occur: what a legend has to explain.
    used: frozenset[str] = field(default_factory=frozenset)


def plan(graph: Graph, title: str) -> Plan:
    """What is drawn of a graph."""
    ends = sorted({key for edge in graph.edges for key in (edge.source, edge.target)})
    boxes = [_box(node) for node in graph.nodes]
    places: dict[str, tuple[str, str]] = {node.key: _place(node) for node in graph.nodes}
    for key in ends:
        found = grouped(key)
        if found is not None:
            boxes.append(Box(key, f"all of {found[1]}", f"every identity of {found[0]} {found[1]}", "group"))
            places[key] = _group_place(found, graph.nodes)
    arrows = tuple(_arrow(edge) for edge in graph.edges)
    return Plan(
        title,
        _about(graph),
        tuple(_frames(boxes, places)),
        tuple(box for box in boxes if places[box.key] == ("", "")),
        arrows,
        frozenset({*(box.style for box in boxes), *_styles(graph)}),
    )


def _styles(graph: Graph) -> Iterator[str]:
    for edge in graph.edges:
        yield from ("crosses",) if edge.crosses else ("inside",)
        yield from () if edge.surely else ("perhaps",)
        yield edge.change.value
    yield from (node.change.value for node in graph.nodes)


def _place(node: Node) -> tuple[str, str]:
    """The zone and the namespace whose frames a node is in."""
    if node.kind in (Kind.OUTSIDE, Kind.EVERYONE, Kind.ZONE):
        return "", ""
    return node.zone, node.namespace if node.kind in (Kind.IDENTITY, Kind.OPEN) else ""


def _group_place(group: tuple[Kind, str], nodes: tuple[Node, ...]) -> tuple[str, str]:
    kind, name = group
    if kind is Kind.ZONE:
        return name, ""
    return next((node.zone for node in nodes if node.namespace == name), ""), name


def _box(node: Node) -> Box:
    about = f"{node.kind} {node.key}" if node.kind is Kind.IDENTITY else node.name
    text = node.name
    match node.kind:
        case Kind.NAMESPACE | Kind.ZONE:
            text = f"{node.name} ({node.size})"
            about = f"{node.kind} {node.name}: {node.size} {'identity' if node.size == 1 else 'identities'}"
        case Kind.OPEN:
            about = f"pods of namespace {node.namespace}, which is not closed: whoever may call out reaches them"
        case Kind.EVERYONE:
            about = f"{node.name}: {'with or without an identity' if node.key == 'anyone' else 'of this cluster'}"
    return Box(node.key, text, about, str(node.kind), node.change)


def _frames(boxes: list[Box], places: Mapping[str, tuple[str, str]]) -> Iterator[Frame]:
    """Zones with their namespaces, then the namespaces of no zone; by name."""

    def inside(zone: str, namespace: str) -> tuple[Box, ...]:
        return tuple(box for box in boxes if places[box.key] == (zone, namespace))

    def spaces(zone: str) -> tuple[Frame, ...]:
        names = sorted({space for own, space in places.values() if own == zone and space})
        return tuple(Frame(f"namespace:{name}", name, "space", inside(zone, name)) for name in names)

    for zone in sorted({zone for zone, _ in places.values() if zone}):
        yield Frame(f"zone:{zone}", f"zone {zone}", "zone", inside(zone, ""), spaces(zone))
    yield from spaces("")


def _arrow(edge: Edge) -> Arrow:
    # A group says itself that it is many.
    pairs = edge.count if grouped(edge.source) is None and grouped(edge.target) is None else 1
    count = f" ({pairs} pairs)" if pairs > 1 else ""
    text = ", ".join(edge.ports)
    short = text if len(text) <= MAX_LABEL else f"{text[: MAX_LABEL - 1].rstrip(', ')}…"
    about = [f"{edge.source} → {edge.target}: {', '.join(edge.ports)}{count}"]
    about += [f"{edge.change}"] if edge.change else []
    about += ["crosses a boundary"] if edge.crosses else []
    about += [] if edge.surely else ["perhaps: it depends on the address that a pod will have"]
    return Arrow(edge.source, edge.target, f"{short}{count}", "; ".join(about), edge)


def _about(graph: Graph) -> str:
    identities = sum(node.size for node in graph.nodes if node.kind in (Kind.IDENTITY, Kind.NAMESPACE, Kind.ZONE))
    zones = len({node.zone for node in graph.nodes if node.zone})
    parts = [
        f"{identities} {'identity' if identities == 1 else 'identities'}",
        f"{zones} {'zone' if zones == 1 else 'zones'}",
    ]
    edges = [edge for edge in graph.edges if edge.change is not Change.REMOVED]
    crossing = sum(edge.crosses for edge in edges)
    parts.append(f"{len(edges)} {'arrow' if len(edges) == 1 else 'arrows'}, {crossing} across a boundary")
    for change in (Change.ADDED, Change.REMOVED):
        count = sum(edge.change is change for edge in graph.edges)
        parts += [f"{count} {change}"] if count else []
    return ", ".join(parts)
