"""Draws how times grow: a line for each step, both scales logarithmic, so that n log n is nearly a straight line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 30, 50
#: Between two names at the ends of lines.
APART: Final = 16
_COLOURS: Final = ("#1b6ca8", "#c2410c", "#2f7d32", "#7b3fa0", "#b8860b", "#0f766e", "#be185d", "#4b5563")


def svg(sizes: Sequence[float], lines: Mapping[str, Sequence[float]]) -> str:
    """The picture: ``sizes`` and times are positive; each line has a time in milliseconds for each size."""
    return "\n".join(_elements(sizes, lines)) + "\n"


def _elements(sizes: Sequence[float], lines: Mapping[str, Sequence[float]]) -> Iterator[str]:
    times = [each for line in lines.values() for each in line]
    across = _Scale(math.log10(min(sizes)), math.log10(max(sizes)), LEFT, WIDTH - RIGHT)
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(2 * max(times)))
    up = _Scale(low, high, HEIGHT - BOTTOM, TOP)
    box = f"0 0 {WIDTH} {HEIGHT}"
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="12">'
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    for power in range(low, high + 1):
        y = up.at(10**power)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_milliseconds(power)}</text>'
    for size in sizes:
        x = across.at(size)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eeeeee"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:,.0f}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">identities and rules</text>'
    yield from _reference(sizes, across, up, 2 * max(times))
    places = _spread({name: up.at(line[-1]) for name, line in lines.items()})
    for colour, (name, line) in zip(_COLOURS, lines.items(), strict=False):
        points = " ".join(f"{across.at(size):.1f},{up.at(each):.1f}" for size, each in zip(sizes, line, strict=True))
        yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield f'<text x="{WIDTH - RIGHT + 8}" y="{places[name] + 4:.1f}" fill="{colour}">{escape(name)}</text>'
    yield "</svg>"


class _Scale:
    """Where a value is drawn, by its logarithm."""

    def __init__(self, first: float, last: float, start: float, end: float) -> None:
        self._first, self._last, self._start, self._end = first, last, start, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self._first) / (self._last - self._first)
        return self._start + share * (self._end - self._start)


def _reference(sizes: Sequence[float], across: _Scale, up: _Scale, most: float) -> Iterator[str]:
    """n log n, dashed, to compare slopes with: above the slowest step."""
    last = sizes[-1] * math.log(sizes[-1])
    points = " ".join(f"{across.at(n):.1f},{up.at(most * n * math.log(n) / last):.1f}" for n in sizes)
    yield f'<polyline points="{points}" fill="none" stroke="#999999" stroke-dasharray="4 4"/>'
    n = sizes[0]
    y = up.at(most * n * math.log(n) / last)
    yield f'<text x="{across.at(n) + 6:.1f}" y="{y - 6:.1f}" fill="#777777">n log n</text>'


def _spread(places: Mapping[str, float]) -> dict[str, float]:
    """Places for names, from the top, none closer to another than APART."""
    found: dict[str, float] = {}
    last = -math.inf
    for name, y in sorted(places.items(), key=lambda each: each[1]):
        last = found[name] = max(y, last + APART)
    return found


def _milliseconds(power: int) -> str:
    return f"{10 ** (power - 3):g} s" if power >= 3 else f"{10**power:g} ms"
