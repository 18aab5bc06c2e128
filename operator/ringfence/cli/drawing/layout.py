"""Where everything goes: asked of Graphviz, which the `pygraphviz` package brings along."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ringfence.cli.drawing import dot
from ringfence.cli.drawing.plan import Plan
from ringfence.model.errors import RingfenceError

Place = tuple[float, float]


class NoLayout(RingfenceError):
    """Graphviz is not there, or gave no answer."""


@dataclass(frozen=True, slots=True)
class Line:
    """The way of an arrow: Bézier curves through ``points`` (the first, then three for each), its tip, its label."""

    points: tuple[Place, ...]
    tip: Place
    label: Place


@dataclass(frozen=True, slots=True)
class Layout:
    """Places in points from the upper left corner: of boxes their middle, of frames two corners."""

    width: float
    height: float
    boxes: dict[str, Place]
    frames: dict[str, tuple[Place, Place]]
    lines: tuple[Line, ...]


def of(plan: Plan) -> Layout:
    """The layout of a plan; raises NoLayout. Lines are in the order of the arrows."""
    answer = _ask(dot.source(plan, words=False))
    x0, y0, x1, y1 = map(float, answer["bb"].split(","))

    def place(text: str) -> Place:
        x, y = (float(part) for part in text.split(",")[:2])
        return round(x - x0, 1), round(y1 - y, 1)

    boxes, frames = {}, {}
    keys = {name: key for key, name in dot.ids(plan).items()}
    for obj in answer.get("objects", ()):
        key = keys.get(obj["name"].removeprefix("cluster "), "")
        if "bb" in obj:
            left, low, right, high = obj["bb"].split(",")
            frames[key.removeprefix("frame ")] = place(f"{left},{high}"), place(f"{right},{low}")
        elif "pos" in obj:
            boxes[key] = place(obj["pos"])
    edges = {edge["id"]: edge for edge in answer.get("edges", ())}
    # In Graphviz' order they are by node.
    if any("pos" not in edge for edge in edges.values()):
        raise NoLayout("Graphviz has lost arrows of this graph: draw it with --by namespace, or write .dot or .json")
    lines = tuple(_line(edges[str(number)], place) for number in range(len(plan.arrows)))
    return Layout(round(x1 - x0, 1), round(y1 - y0, 1), boxes, frames, lines)


def _ask(source: str) -> dict[str, Any]:
    try:
        import pygraphviz  # noqa: PLC0415 (only pictures need it)
    except ModuleNotFoundError as error:
        raise NoLayout(
            "to draw a picture, Graphviz is needed: `pip install 'pygraphviz>=2.0'`, or write to a file that ends in "
            ".dot or .json"
        ) from error
    except ImportError as error:
        # Its wheels take libraries of the system to be there that bare machines lack.
        raise NoLayout(
            f"to draw a picture, Graphviz is needed, and it misses a library of this machine: {error}; on Debian "
            "`apt install libx11-6 libxext6 libxrender1 libglib2.0-0 libexpat1`, or write to a file that ends in .dot "
            "or .json"
        ) from error
    try:
        answer = pygraphviz.AGraph(string=source).draw(format="json", prog="dot")
        found: dict[str, Any] = json.loads(answer)
    except (OSError, ValueError, RuntimeError) as error:
        raise NoLayout(f"Graphviz could not lay the graph out: {error}") from error
    return found


def _line(edge: dict[str, Any], place: Any) -> Line:
    parts = list(_parts(edge["pos"]))
    points = tuple(place(text) for mark, text in parts if not mark)
    tip = next((place(text) for mark, text in parts if mark == "e"), points[-1])
    middle = points[len(points) // 2]
    return Line(points, tip, place(edge["lp"]) if "lp" in edge else middle)


def _parts(pos: str) -> Iterator[tuple[str, str]]:
    """The points of a spline, with ``e`` or ``s`` where one is the tip of an arrow."""
    for part in pos.replace("\\\n", "").split():
        mark = part[0] if part[0] in "es" else ""
        yield mark, part.removeprefix(f"{mark},") if mark else part
