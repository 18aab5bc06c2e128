"""Sets of request paths, as rules write them: exactly, by prefix of whole segments, by template.

The paths are normalized (RFC 3986 6.2.2, and slashes merged): they begin with a slash, no segment is empty but the last
one, and there is no query. Any others are refused before a rule is looked at.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final, Self

from ringfence.policy.algebra import tries
from ringfence.policy.algebra.tries import ANY, Letter, Trie

#: A path ends with a segment, or with a slash after it.
_PLAIN: Final = 1
_SLASH: Final = 2
_WAYS: Final = _PLAIN | _SLASH

#: Deeper patterns are refused: what is worked out here recurses by segment.
MAX_SEGMENTS: Final = 100

_ONE: Final = "{*}"
_TAIL: Final = "*"


@dataclass(frozen=True, slots=True)
class Clause:
    """One line of a set as people write it: a pattern, less what is excepted (which lies within it)."""

    pattern: str
    excepted: tuple["Clause", ...] = ()

    def __str__(self) -> str:
        if not self.excepted:
            return self.pattern
        shown = [f"({each})" if each.excepted else str(each) for each in self.excepted]
        return f"{self.pattern} except {' and '.join(shown)}"


@dataclass(frozen=True, slots=True)
class PathSet:
    """Normalized paths; equal sets are equal values."""

    trie: Trie = False

    @classmethod
    def of(cls, patterns: Iterable[str]) -> Self:
        """What any of ``patterns`` matches: ``/a`` itself, ``/a/*`` all below ``/a/`` (``/a/`` too, ``/a`` not),
        ``/a/{*}/b`` with any one segment that is not empty. Raises ValueError for what is no pattern.
        """
        return reduce(lambda one, other: one | other, (cls(_pattern(each)) for each in patterns), cls())

    @property
    def empty(self) -> bool:
        return self.trie is False

    @property
    def key(self) -> tuple[str, ...]:
        """Orders sets by how they are written."""
        return tuple(map(str, self.clauses()))

    def __contains__(self, path: str) -> bool:
        """Whether a normalized path (``/a/b``, ``/a/``, ``/``) is a member."""
        letters, way = _letters(path)
        return tries.holds(self.trie, letters, way)

    def __and__(self, other: Self) -> Self:
        return type(self)(tries.combined("and", self.trie, other.trie, _WAYS))

    def __or__(self, other: Self) -> Self:
        return type(self)(tries.combined("or", self.trie, other.trie, _WAYS))

    def __sub__(self, other: Self) -> Self:
        return type(self)(tries.combined("less", self.trie, other.trie, _WAYS))

    def witness(self) -> str:
        """A member, one of the shortest; raises ValueError for the empty set."""
        found = tries.shortest(self.trie, _WAYS, _fresh)
        if found is None:
            raise ValueError("no path is in the empty set")
        letters, way = found
        return "".join(f"/{each}" for each in letters) + ("/" if way == _SLASH else "")

    def clauses(self) -> tuple[Clause, ...]:
        """The set as people write it; together the clauses are exactly the set."""
        return tuple(_clauses(self.trie, ""))


def _letters(path: str) -> tuple[list[str], int]:
    letters = path.split("/")[1:]
    if letters[-1]:
        return letters, _PLAIN
    return letters[:-1], _SLASH


def _pattern(text: str) -> Trie:
    if not text.startswith("/"):
        raise ValueError(f"path {text!r} does not begin with a slash")
    head, _, last = text.rpartition("/")
    if last == _TAIL:
        letters, way = _letters(head) if head else ([], _PLAIN)
        end: Trie = tries.branch(_SLASH, {}, True, _WAYS)
        if way == _SLASH:
            raise ValueError(f"path {text!r} has an empty segment")
    else:
        letters, way = _letters(text)
        end = tries.branch(way, {}, False, _WAYS)
    if not all(letters):
        raise ValueError(f"path {text!r} has an empty segment")
    if len(letters) > MAX_SEGMENTS:
        raise ValueError(f"path {text[:80]!r}… has more than {MAX_SEGMENTS} segments")
    named: list[Letter] = [ANY if each == _ONE else each for each in letters]
    stray = [each for each in letters if each != _ONE and ("*" in each or "{" in each or "}" in each)]
    if stray:
        raise ValueError(f"path {text!r}: {stray[0]!r} is no segment; write a text, {_ONE}, or * as the last one")
    return tries.word(named, end, _WAYS)


def _fresh(taken: frozenset[str]) -> str:
    number = 0
    while (name := f"x{number or ''}") in taken:
        number += 1
    return name


def _clauses(trie: Trie, before: str) -> list[Clause]:
    if trie is False:
        return []
    ends, named, rest = tries.parts(trie, _WAYS)
    found = [Clause(before)] if ends & _PLAIN else []
    slash = bool(ends & _SLASH)
    if rest is True:
        missing = [] if slash else [Clause(f"{before}/")]
        for letter, own in named.items():
            missing += _clauses(tries.combined("less", True, own, _WAYS), f"{before}/{letter}")
        return [*found, Clause(f"{before}/{_TAIL}", tuple(missing))]
    if slash:
        found.append(Clause(f"{before}/"))
    others = _clauses(rest, f"{before}/{_ONE}")
    # What the letters that are named take away from the clauses for any letter, and what they add.
    for letter, trie_there in sorted(named.items()):
        found += _clauses(tries.combined("less", trie_there, rest, _WAYS), f"{before}/{letter}")
        lacking = PathSet(tries.combined("less", rest, trie_there, _WAYS))
        others = [
            _without(clause, own, lacking, f"{before}/{letter}")
            for clause, own in zip(others, _clauses(rest, ""), strict=True)
        ]
    return found + others


def _without(clause: Clause, own: Clause, lacking: PathSet, below: str) -> Clause:
    """A clause for any letter, less what is ``lacking`` of it below one letter."""
    missing = _clauses((lacking & _meaning(own)).trie, below)
    return Clause(clause.pattern, (*clause.excepted, *missing))


def _meaning(clause: Clause) -> PathSet:
    """What a clause says; "" for the end of a path."""
    found = PathSet(tries.branch(_PLAIN, {}, False, _WAYS)) if not clause.pattern else PathSet.of((clause.pattern,))
    for each in clause.excepted:
        found -= _meaning(each)
    return found


#: Every path.
EVERY_PATH: Final = PathSet.of((f"/{_TAIL}",))
