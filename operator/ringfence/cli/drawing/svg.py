"""The picture: SVG of rectangles, lines and words. It holds no script, no link and nothing from elsewhere.

The same plan gives the same bytes. Colours follow what the reader's system prefers, light or dark.
"""

import math
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from ringfence.cli.drawing import styles
from ringfence.cli.drawing.layout import Layout, Line, Place
from ringfence.cli.drawing.plan import LABEL_HEIGHT, NODE_HEIGHT, Arrow, Box, Frame, Plan
from ringfence.policy.graph.model import Change

_EDGE: Final = 20.0
_HEAD: Final = 58.0
_ROW: Final = 20.0
_LEGEND_WIDTH: Final = 250.0


def drawn(plan: Plan, layout: Layout) -> str:
    """The picture as a document."""
    return "\n".join(_lines(plan, layout)) + "\n"


def _lines(plan: Plan, layout: Layout) -> Iterator[str]:
    entries = list(_entries(plan.used))
    width = max(layout.width + 2 * _EDGE, 2 * _EDGE + 7.0 * len(plan.about), 2 * _EDGE + _LEGEND_WIDTH)
    columns = max(1, int((width - 2 * _EDGE) // _LEGEND_WIDTH))
    rows = math.ceil(len(entries) / columns)
    height = _HEAD + layout.height + _EDGE + rows * _ROW + _EDGE
    size = f'width="{_number(width)}" height="{_number(height)}" viewBox="0 0 {_number(width)} {_number(height)}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title about">'
    yield f'<title id="title">{_text(plan.title)}</title>'
    yield f'<desc id="about">{_text(plan.about)}</desc>'
    yield f"<style>{styles.SHEET}</style>"
    yield f'<rect class="bg" width="{_number(width)}" height="{_number(height)}"/>'
    yield f'<text class="title" x="{_number(_EDGE)}" y="26">{_text(plan.title)}</text>'
    yield f'<text class="about" x="{_number(_EDGE)}" y="44">{_text(plan.about)}</text>'
    yield f'<g transform="translate({_number(_EDGE)} {_number(_HEAD)})">'
    for frame in plan.frames:
        yield from _frame(frame, layout)
    for arrow, line in zip(plan.arrows, layout.lines, strict=True):
        yield from _arrow(arrow, line)
    for frame in plan.frames:
        yield from _headings(frame, layout)
    for frame in plan.frames:
        yield from _boxes(frame, layout)
    yield from (_box(box, layout.boxes[box.key]) for box in plan.top)
    yield "</g>"
    yield f'<g class="legend" transform="translate({_number(_EDGE)} {_number(_HEAD + layout.height + _EDGE)})">'
    for index, (shape, words) in enumerate(entries):
        x, y = (index % columns) * _LEGEND_WIDTH, (index // columns) * _ROW
        at = f"translate({_number(x)} {_number(y)})"
        yield f'<g transform="{at}">{shape}<text x="40" y="12">{_text(words)}</text></g>'
    yield "</g>"
    yield "</svg>"


def _frame(frame: Frame, layout: Layout) -> Iterator[str]:
    if frame.key in layout.frames:
        (left, top), (right, bottom) = layout.frames[frame.key]
        yield _rect(left, top, right - left, bottom - top, frame.style, radius=8)
    for inner in frame.frames:
        yield from _frame(inner, layout)


def _headings(frame: Frame, layout: Layout) -> Iterator[str]:
    """The names of frames, above arrows that pass through them."""
    if frame.key in layout.frames:
        left, top = layout.frames[frame.key][0]
        at = f'x="{_number(left + 10)}" y="{_number(top + 16)}"'
        yield f'<text class="frametext {frame.style}text" {at}>{_text(frame.text)}</text>'
    for inner in frame.frames:
        yield from _headings(inner, layout)


def _boxes(frame: Frame, layout: Layout) -> Iterator[str]:
    yield from (_box(box, layout.boxes[box.key]) for box in frame.boxes)
    for inner in frame.frames:
        yield from _boxes(inner, layout)


#: How what stands for identities is drawn.
_LIKE_BOXES: Final = frozenset({"identity", "namespace", "zone"})
#: How round the corners are, where shapes tell what colours do not.
_RADIUS: Final = {"everyone": 13, "outside": 0}


def _box(box: Box, middle: Place) -> str:
    style = "box" if box.style in _LIKE_BOXES else box.style
    classes = f"{style} {box.change}".strip()
    shape = _rect(
        middle[0] - box.width / 2,
        middle[1] - NODE_HEIGHT / 2,
        box.width,
        NODE_HEIGHT,
        classes,
        radius=_RADIUS.get(style, 6),
    )
    words = f'<text x="{_number(middle[0])}" y="{_number(middle[1] + 4)}" text-anchor="middle">{_text(box.text)}</text>'
    change = f"; {box.change}" if box.change else ""
    return f"<g><title>{_text(box.about + change)}</title>{shape}{words}</g>"


def _arrow(arrow: Arrow, line: Line) -> Iterator[str]:
    edge = arrow.edge
    marks = ("crosses" if edge.crosses else "", "" if edge.surely else "perhaps", str(edge.change))
    yield f'<g class="{" ".join(filter(None, ("arrow", *marks)))}"><title>{_text(arrow.about)}</title>'
    first, *rest = line.points
    curve = " ".join(_point(point) for point in rest)
    yield f'<path class="line" d="M{_point(first)}C{curve}L{_point(_short(line))}"/>{_tip(line)}'
    x, y = line.label
    left = x - arrow.width / 2
    if edge.crosses:
        yield f'<path class="mark" d="M{_number(left + 5)} {_number(y - 4)}l4 4l-4 4l-4 -4z"/>'
    at = f'x="{_number(left + (12 if edge.crosses else 3))}" y="{_number(y + LABEL_HEIGHT / 2 - 4)}"'
    yield f'<text class="label" {at}>{_text(arrow.text)}</text></g>'


def _direction(line: Line) -> tuple[float, float]:
    (x0, y0), (x1, y1) = line.points[-1], line.tip
    length = math.hypot(x1 - x0, y1 - y0)
    if length < 1e-6:
        (x0, y0), (x1, y1) = line.points[-2], line.points[-1]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
    return (x1 - x0) / length, (y1 - y0) / length


def _short(line: Line) -> Place:
    """Where the line ends, so that it does not stick out of its tip."""
    dx, dy = _direction(line)
    return line.tip[0] - 4 * dx, line.tip[1] - 4 * dy


def _tip(line: Line) -> str:
    (x, y), (dx, dy) = line.tip, _direction(line)
    back = x - 8 * dx, y - 8 * dy
    corners = (line.tip, (back[0] - 3.2 * dy, back[1] + 3.2 * dx), (back[0] + 3.2 * dy, back[1] - 3.2 * dx))
    return f'<path class="tip" d="M{"L".join(_point(corner) for corner in corners)}z"/>'


def _rect(x: float, y: float, width: float, height: float, classes: str, *, radius: int) -> str:
    numbers = f'x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(height)}"'
    return f'<rect class="{classes}" {numbers} rx="{radius}"/>'


def _entries(used: frozenset[str]) -> Iterator[tuple[str, str]]:
    """What the legend explains: a small drawing and its words, of what occurs."""
    boxes = (
        ("identity", "box", "a service's identity"),
        ("namespace", "box", "a namespace (identities)"),
        ("group", "group", "every identity of the frame"),
        ("open", "open", "pods that nothing governs"),
        ("everyone", "everyone", "many callers at once"),
        ("outside", "outside", "addresses outside"),
    )
    for name, style, words in boxes:
        if name in used:
            yield _rect(4, 1, 26, 14, style, radius=min(7, _RADIUS.get(style, 4))), words
    lines = (
        ("inside", "", "may call, on these ports"),
        ("crosses", "crosses", "crosses a zone's boundary"),
        ("perhaps", "perhaps", "perhaps: a pod's address decides"),
        (Change.ADDED.value, "added", "new"),
        (Change.REMOVED.value, "removed", "gone"),
    )
    for name, style, words in lines:
        if name in used:
            mark = '<path class="mark" d="M17 4l4 4l-4 4l-4 -4z"/>' if style == "crosses" else ""
            shape = '<path class="line" d="M2 8H26"/><path class="tip" d="M34 8L26 11.2L26 4.8z"/>' + mark
            yield f'<g class="{style}">{shape}</g>', words


def _point(point: Place) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0")


def _text(text: str) -> str:
    """Words of others: escaped, and without what XML 1.0 cannot hold."""
    return escape("".join(each if each.isprintable() else "?" for each in text), {'"': "&quot;"})
