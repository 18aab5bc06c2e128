"""Sets of texts that exact values and prefixes can say, as spans in the order of their characters.

In that order a prefix is one span (``ab`` up to, and without, ``ac``) and so is a single text (``ab`` up to ``ab`` with
the least character behind it). Spans are closed under every operation, and equal sets are equal values.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

#: The least character there is: what follows a text at once is the text with this behind it.
_LEAST: Final = "\x00"
_GREATEST: Final = "\U0010ffff"

#: First text, and the first one beyond (None: there is no end).
Span = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class TextSet:
    """Texts; ``spans`` are sorted, disjoint and do not touch."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def exactly(cls, values: Iterable[str]) -> Self:
        """These texts."""
        return cls(_merged((value, value + _LEAST) for value in values))

    @classmethod
    def starting(cls, prefixes: Iterable[str]) -> Self:
        """The texts that begin with any of ``prefixes``, each of these too."""
        return cls(_merged((prefix, _beyond(prefix)) for prefix in prefixes))

    @property
    def empty(self) -> bool:
        return not self.spans

    @property
    def key(self) -> tuple[tuple[str, bool, str], ...]:
        """Orders sets."""
        return tuple((first, end is None, end or "") for first, end in self.spans)

    def __contains__(self, text: str) -> bool:
        return any(first <= text and (end is None or text < end) for first, end in self.spans)

    def __or__(self, other: Self) -> Self:
        return type(self)(_merged((*self.spans, *other.spans)))

    def __and__(self, other: Self) -> Self:
        return type(self)(
            _merged(
                (max(first, other_first), _earlier(end, other_end))
                for first, end in self.spans
                for other_first, other_end in other.spans
                if _before(max(first, other_first), _earlier(end, other_end))
            )
        )

    def __invert__(self) -> Self:
        found: list[Span] = []
        start: str | None = ""
        for first, end in self.spans:
            if start is not None and start < first:
                found.append((start, first))
            start = end
        if start is not None:
            found.append((start, None))
        return type(self)(tuple(found))

    def __sub__(self, other: Self) -> Self:
        return self & ~other

    def witness(self) -> str:
        """A member that can be printed if one is easily found; raises ValueError for the empty set."""
        if not self.spans:
            raise ValueError("no text is in the empty set")
        for first, _ in self.spans:
            stem = first.rstrip(_LEAST)
            for tail in ("", "0", "a", "~", "x1"):
                if stem + tail in self and stem + tail:
                    return stem + tail
        return self.spans[0][0]

    def told(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """(single texts, prefixes) that are this set together; None where it cannot be said so."""
        singles, prefixes = [], []
        for first, end in self.spans:
            if end == first + _LEAST:
                singles.append(first)
            elif end == _beyond(first):
                prefixes.append(first)
            else:
                return None
        return tuple(singles), tuple(prefixes)


def _beyond(prefix: str) -> str | None:
    """The first text after all that begin with ``prefix``."""
    stem = prefix.rstrip(_GREATEST)
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None


def _before(text: str, end: str | None) -> bool:
    return end is None or text < end


def _earlier(one: str | None, other: str | None) -> str | None:
    return other if one is None else one if other is None else min(one, other)


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for start, end in sorted(spans, key=lambda span: span[0]):
        if not found or _before_start(found[-1], start):
            found.append((start, end))
            continue
        first, last = found[-1]
        found[-1] = (first, None if last is None or end is None else max(last, end))
    return tuple(found)


def _before_start(span: Span, start: str) -> bool:
    """Whether a span ends before ``start``, with texts between."""
    return span[1] is not None and span[1] < start


NO_TEXT: Final = TextSet()
EVERY_TEXT: Final = TextSet.starting(("",))
