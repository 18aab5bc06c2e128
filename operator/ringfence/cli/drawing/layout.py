"""Where everything goes: asked of Graphviz, which the `pygraphviz` package brings along."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ringfence.cli.drawing import dot
from ringfence.cli.drawing.plan import Plan
from ringfence.model.errors import RingfenceError

Place = tuple[float, float]

#: The room for the label of an arrow, behind what comes before it.
_LABEL: Final = re.compile(r'(id="[0-9]+", )label=<<TABLE.*?</TABLE>>, ')

#: In a process of its own: an assertion of Graphviz' that fails ends the process that it runs in.
_PROGRAM: Final = """
import sys, pygraphviz
sys.stdout.buffer.write(pygraphviz.AGraph(string=sys.stdin.read()).draw(format="json", prog="dot"))
"""


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
    del pygraphviz
    # Some graphs it lays out only without room for the labels of arrows, which then lie on their middles.
    for text in (source, _LABEL.sub(r"\1", source)):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], input=text, capture_output=True, text=True, encoding="utf-8", check=False
        )
        if done.returncode == 0:
            found: dict[str, Any] = json.loads(done.stdout)
            return found
    why = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
    raise NoLayout(
        f"Graphviz could not lay the graph out: {why}; draw it with --by namespace or zone, or write .dot or .json"
    )


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
