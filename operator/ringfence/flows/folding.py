"""Paths that were seen, in as few patterns as stated rules make of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ringfence.policy.requests import ANY_SEGMENT

#: More different names in one place are taken for any.
NAMES: Final = 20
#: More patterns of one method are taken for any path.
PATTERNS: Final = 128
#: Paths that are held before that is found.
_MOST: Final = 20 * PATTERNS


@dataclass(slots=True)
class Folded:
    """A tree of segments. It never holds more than NAMES names in one place, however many are added."""

    children: dict[str, "Folded"] = field(default_factory=dict)
    ends: bool = False
    #: Whether every name below is taken for any.
    any: bool = False
    #: Paths added to this one, where it is the first place; more than there are patterns.
    count: int = 0

    def add(self, parts: Iterable[str]) -> None:
        """One more path, by its segments."""
        if self.count > _MOST:
            return
        node = self
        for part in parts:
            node = node.child(part)
        self.count += not node.ends
        node.ends = True
        if self.count > _MOST:
            self.children.clear()

    def child(self, part: str) -> "Folded":
        """The place of a segment below this one; that of any segment where there are too many names."""
        place = ANY_SEGMENT if part and self.any else part
        found = self.children.get(place)
        if found is None:
            found = self.children[place] = Folded()
            if len(_names(self.children)) > NAMES:
                return self._fold()
        return found

    def _fold(self) -> "Folded":
        """Take all names for any."""
        self.any = True
        merged = self.children.setdefault(ANY_SEGMENT, Folded())
        for part in _names(self.children):
            merged.take(self.children.pop(part))
        return merged

    def join(self, other: "Folded") -> None:
        """All paths of another one, of which this one too is the first place."""
        self.count += other.count
        if self.count > _MOST:
            self.children.clear()
        else:
            self.take(other)

    def take(self, other: "Folded") -> None:
        """All that another place holds."""
        self.ends = self.ends or other.ends
        for part, below in other.children.items():
            self.child(part).take(below)

    def patterns(self) -> tuple[str, ...] | None:
        """The paths, sorted, without those that another one names too; None for any path."""
        found = sorted(self._paths(()))
        if self.count > _MOST or len(found) > PATTERNS:
            return None
        return tuple("/".join(path) for path in found if not any(_covers(other, path) for other in found))

    def _paths(self, before: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if self.ends:
            yield before
        for part, below in self.children.items():
            yield from below._paths((*before, part))


def _names(children: Iterable[str]) -> list[str]:
    return [part for part in children if part and part != ANY_SEGMENT]


def _covers(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Whether a pattern names all that another one does, and more."""
    if pattern == path or len(pattern) != len(path):
        return False
    return all(a == b or (a == ANY_SEGMENT and bool(b)) for a, b in zip(pattern, path, strict=True))
