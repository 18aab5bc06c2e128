"""Sets of words that are told by how they begin: what exact words, prefixes and wildcards for one letter can say.

A letter is any text (a character, a segment of a path, a label of a host name), and there are endlessly many. So a
node holds what follows the letters that it names, and what follows every other one. Beyond the longest word that was
named all is in or all is out; so each set has one smallest trie, and equal sets are equal values.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, TypeAlias

#: What stands for a letter that no node names.
ANY: Final = None

Letter = str | None


@dataclass(frozen=True, slots=True)
class Branch:
    """The words that go on from here. ``ends`` has a bit for each way in which a word may end here.

    ``named`` are the letters with a continuation of their own, sorted; ``rest`` is that of every other letter.
    """

    ends: int
    named: tuple[tuple[str, "Trie"], ...]
    rest: "Trie"
    _hash: int = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        # Kept: nodes are the keys of what was worked out before, and a hash of its own would walk the whole trie.
        object.__setattr__(self, "_hash", hash((self.ends, self.named, self.rest)))

    def __hash__(self) -> int:
        return self._hash


#: True holds every word, False none.
Trie: TypeAlias = bool | Branch

_Pick = Callable[[int, int], int]
_PICKS: Final[dict[str, _Pick]] = {
    "and": lambda one, other: one & other,
    "or": lambda one, other: one | other,
    "less": lambda one, other: one & ~other,
}


def branch(ends: int, named: dict[str, Trie], rest: Trie, ways: int) -> Trie:
    """The smallest trie for a node; ``ways`` has a bit for each way in which words can end."""
    kept = tuple(sorted((letter, trie) for letter, trie in named.items() if trie != rest))
    if not kept and isinstance(rest, bool) and ends == (ways if rest else 0):
        return rest
    return Branch(ends, kept, rest)


def word(letters: Sequence[Letter], end: Trie, ways: int) -> Trie:
    """The words that begin with ``letters`` (ANY for any one) and go on as ``end`` does."""
    found = end
    for letter in reversed(letters):
        found = branch(0, {}, found, ways) if letter is ANY else branch(0, {letter: found}, False, ways)
    return found


def parts(trie: Trie, ways: int) -> tuple[int, dict[str, Trie], Trie]:
    """(ends, named, rest) of any trie."""
    if isinstance(trie, bool):
        return (ways if trie else 0), {}, trie
    return trie.ends, dict(trie.named), trie.rest


@lru_cache(maxsize=65536)
def combined(how: str, one: Trie, other: Trie, ways: int) -> Trie:
    """``and``, ``or`` or ``less`` of two tries."""
    known = _known(how, one, other)
    if known is not None:
        return known
    ends, named, rest = parts(one, ways)
    other_ends, other_named, other_rest = parts(other, ways)
    letters = named.keys() | other_named.keys()
    return branch(
        _PICKS[how](ends, other_ends),
        {each: combined(how, named.get(each, rest), other_named.get(each, other_rest), ways) for each in letters},
        combined(how, rest, other_rest, ways),
        ways,
    )


def _known(how: str, one: Trie, other: Trie) -> Trie | None:
    """The answer where one of the two is everything or nothing, None where that does not tell."""
    if how == "less":
        return False if one is False or other is True else one if other is False else None
    if isinstance(one, bool):
        return other if one == (how == "and") else one
    if isinstance(other, bool):
        return one if other == (how == "and") else other
    return None


def holds(trie: Trie, letters: Sequence[str], way: int) -> bool:
    """Whether the word of ``letters`` that ends in this way is a member."""
    for letter in letters:
        if isinstance(trie, bool):
            return trie
        trie = next((found for name, found in trie.named if name == letter), trie.rest)
    return trie if isinstance(trie, bool) else bool(trie.ends & way)


def shortest(trie: Trie, ways: int, fresh: Callable[[frozenset[str]], str]) -> tuple[tuple[str, ...], int] | None:
    """A shortest word (its letters, the way in which it ends), None for the empty set.

    ``fresh`` makes a letter that is none of those given.
    """
    layer: list[tuple[tuple[str, ...], Trie]] = [((), trie)]
    while layer:
        for letters, each in layer:
            ends, _, _ = parts(each, ways)
            if ends:
                return letters, ends & -ends
        layer = [found for letters, each in layer for found in _longer(letters, each, fresh)]
    return None


def _longer(
    letters: tuple[str, ...], trie: Trie, fresh: Callable[[frozenset[str]], str]
) -> Iterator[tuple[tuple[str, ...], Trie]]:
    if isinstance(trie, bool):
        return
    for letter, found in trie.named:
        if found is not False:
            yield (*letters, letter), found
    if trie.rest is not False:
        yield (*letters, fresh(frozenset(name for name, _ in trie.named))), trie.rest
