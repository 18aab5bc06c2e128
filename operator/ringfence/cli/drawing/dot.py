"""A plan in Graphviz' language: for people with all words, for the layout with room where the words will be.

Room instead of words, because how wide a word is depends on the fonts of the machine, and a picture should not.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ringfence.cli.drawing.plan import LABEL_HEIGHT, NODE_HEIGHT, Arrow, Box, Frame, Plan
from ringfence.policy.graph.model import Change

_COLOURS: Final = {Change.ADDED: "#1a7f37", Change.REMOVED: "#cf222e"}
_CROSSING: Final = "#bc4c00"
_INSIDE: Final = "#57606a"
_INCH: Final = 72.0


def source(plan: Plan, *, words: bool = True) -> str:
    """The digraph; ``words`` False leaves room instead of them, and calls boxes and frames as ``ids`` says."""
    return "\n".join(_Writer(words, ids(plan)).lines(plan)) + "\n"


def ids(plan: Plan) -> dict[str, str]:
    """A name for each key, without any word of others: boxes are ``b0`` and so on, frames ``f0``."""
    frames = list(_frames(plan.frames))
    boxes = [*plan.top, *(box for frame in frames for box in frame.boxes)]
    return {
        **{f"frame {frame.key}": f"f{number}" for number, frame in enumerate(frames)},
        **{box.key: f"b{number}" for number, box in enumerate(boxes)},
    }


def _frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        yield from _frames(frame.frames)


class _Writer:
    def __init__(self, words: bool, ids: Mapping[str, str]) -> None:
        self._words = words
        self._ids = ids

    def lines(self, plan: Plan) -> Iterator[str]:
        yield "digraph ringfence {"
        if self._words:
            yield f"  label={quoted(f'{plan.title}: {plan.about}')}; labelloc=t;"
        # Ranks of all together pull large frames apart; but Graphviz loses arrows between frames in frames without.
        ranks = " newrank=true;" if any(frame.frames for frame in plan.frames) else ""
        yield f"  rankdir=LR; ranksep=0.7; nodesep=0.25; splines=true; remincross=true;{ranks}"
        yield f'  node [shape=box, style="rounded", height={NODE_HEIGHT / _INCH:.3f}, fixedsize=true, fontname="sans"];'
        yield '  edge [arrowsize=0.7, fontsize=10, fontname="sans"];'
        for box in plan.top:
            yield f"  {self._box(box)}"
        for frame in plan.frames:
            yield from (f"  {line}" for line in self._frame(frame))
        for number, arrow in enumerate(plan.arrows):
            yield f"  {self._arrow(number, arrow)}"
        yield "}"

    def _frame(self, frame: Frame) -> Iterator[str]:
        name = frame.key if self._words else self._ids[f"frame {frame.key}"]
        yield f"subgraph {quoted(f'cluster {name}')} {{"
        yield f"  label={self._label(frame.text, frame.width)}; labeljust=l; margin=12; style=rounded;"
        for box in frame.boxes:
            yield f"  {self._box(box)}"
        for inner in frame.frames:
            yield from (f"  {line}" for line in self._frame(inner))
        yield "}"

    def _box(self, box: Box) -> str:
        text = quoted(box.text) if self._words else '""'
        colour = f", color={quoted(_COLOURS[box.change])}" if box.change else ""
        return f"{self._key(box.key)} [label={text}, width={box.width / _INCH:.3f}{colour}];"

    def _arrow(self, number: int, arrow: Arrow) -> str:
        edge = arrow.edge
        colour = _COLOURS.get(edge.change) or (_CROSSING if edge.crosses else _INSIDE)
        style = "" if edge.surely and edge.change is not Change.REMOVED else ", style=dashed"
        label = self._label(arrow.text, arrow.width)
        words = f'id="{number}", label={label}, color={quoted(colour)}{style}'
        return f"{self._key(arrow.source)} -> {self._key(arrow.target)} [{words}];"

    def _key(self, key: str) -> str:
        return quoted(key if self._words else self._ids[key])

    def _label(self, text: str, width: float) -> str:
        if self._words:
            return quoted(text)
        return (
            f'<<TABLE BORDER="0" CELLBORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" WIDTH="{width:.0f}"'
            f' HEIGHT="{LABEL_HEIGHT:.0f}"><TR><TD></TD></TR></TABLE>>'
        )


def quoted(text: str) -> str:
    """A string of Graphviz' language that means the text itself: no escapes, no markup, no line ends."""
    plain = "".join(" " if each < " " else each for each in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
