"""Sets in many dimensions (who, to whom, port, method, path, headers) with exact union, intersection and difference.

A set is split by its first dimension into the values that lead to the same rest, and each rest likewise by the next
dimension. What does not depend on a dimension leaves it out. Which values have equal rests follows from the set alone,
so equal sets are equal values, however they were put together.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from typing import Any, Final, Protocol, Self, TypeAlias, TypeVar

S = TypeVar("S", bound="Values")


class Values(Protocol):
    """A set of values of one dimension; equal sets are equal and hash alike."""

    @property
    def empty(self) -> bool: ...

    @property
    def key(self) -> Any:
        """Orders the sets of one dimension."""
        ...

    def __and__(self, other: Self) -> Self: ...

    def __or__(self, other: Self) -> Self: ...

    def __sub__(self, other: Self) -> Self: ...

    def witness(self) -> Any:
        """One of the values."""
        ...


@dataclass(frozen=True, slots=True)
class Dimension:
    """A dimension by its name and ``full``, the set of all its values. Those of lower ``rank`` are split by first."""

    rank: int
    name: str
    full: Any

    def __hash__(self) -> int:
        return hash((self.rank, self.name))

    @property
    def place(self) -> tuple[int, str]:
        return self.rank, self.name


@dataclass(frozen=True, slots=True)
class Split:
    """``rows`` are disjoint sets of values with what is in the set for each; other values are not in it at all."""

    dimension: Dimension
    rows: tuple[tuple[Any, "Diagram"], ...]
    _hash: int = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        # Kept: splits are the keys of what was worked out before.
        object.__setattr__(self, "_hash", hash((self.dimension.place, self.rows)))

    def __hash__(self) -> int:
        return self._hash


#: True holds every point, False none.
Diagram: TypeAlias = bool | Split
#: The values of each dimension, by its name; a dimension that is missing may have any.
Cube = Mapping[str, Any]

NOTHING: Final = False
EVERYTHING: Final = True


def cube(parts: Iterable[tuple[Dimension, Any]]) -> Diagram:
    """The points whose value of each dimension named is in the set beside it."""
    found: Diagram = True
    for dimension, values in sorted(parts, key=lambda part: part[0].place, reverse=True):
        found = split(dimension, [(values, found)])
    return found


def union(sets: Iterable[Diagram]) -> Diagram:
    """All points of any of ``sets``."""
    pending = list(sets)
    while len(pending) > 1:
        # By halves: a big set is not walked again for each small one.
        pending = [reduce(_or, pending[place : place + 2]) for place in range(0, len(pending), 2)]
    return pending[0] if pending else False


def intersect(one: Diagram, other: Diagram) -> Diagram:
    """The points of both."""
    return _combined("and", one, other)


def subtract(one: Diagram, other: Diagram) -> Diagram:
    """The points of ``one`` that are not in ``other``."""
    return _combined("less", one, other)


def cubes(diagram: Diagram) -> Iterator[Cube]:
    """Disjoint cubes that together are the set, in order."""
    if diagram is True:
        yield {}
    elif isinstance(diagram, Split):
        for values, rest in diagram.rows:
            for found in cubes(rest):
                yield {diagram.dimension.name: values, **found}


def witness(diagram: Diagram) -> Mapping[str, Any] | None:
    """A value for each dimension that matters, so that the point is in the set; None for the empty set."""
    first = next(cubes(diagram), None)
    return None if first is None else {name: values.witness() for name, values in first.items()}


def holds(diagram: Diagram, point: Mapping[str, Any]) -> bool:
    """Whether a point, with its value of every dimension that matters, is in the set."""
    while isinstance(diagram, Split):
        value = point[diagram.dimension.name]
        diagram = next((rest for values, rest in diagram.rows if value in values), False)
    return diagram


def names(diagram: Diagram) -> frozenset[str]:
    """The names of the dimensions that matter for a set."""
    seen: set[Diagram] = set()
    found: set[str] = set()
    pending = [diagram]
    while pending:
        part = pending.pop()
        if isinstance(part, Split) and part not in seen:
            seen.add(part)
            found.add(part.dimension.name)
            pending += [rest for _, rest in part.rows]
    return frozenset(found)


def given(diagram: Diagram, known: Mapping[str, Any]) -> Diagram:
    """What is left of a set where the values of some dimensions are ``known``: a set of the other dimensions."""
    found: dict[Diagram, Diagram] = {}

    def left(part: Diagram) -> Diagram:
        if not isinstance(part, Split):
            return part
        if part not in found:
            name = part.dimension.name
            if name in known:
                found[part] = left(next((rest for values, rest in part.rows if known[name] in values), False))
            else:
                found[part] = split(part.dimension, [(values, left(rest)) for values, rest in part.rows])
        return found[part]

    return left(diagram)


def split(dimension: Dimension, rows: Iterable[tuple[Any, Diagram]]) -> Diagram:
    """The set that holds, for the values of each row, what is beside them; the rows' values are disjoint."""
    by_rest: dict[Diagram, Any] = {}
    for values, rest in rows:
        if rest is not False and not values.empty:
            by_rest[rest] = by_rest[rest] | values if rest in by_rest else values
    if not by_rest:
        return False
    if len(by_rest) == 1:
        rest, values = next(iter(by_rest.items()))
        if values == dimension.full:
            return rest
    kept = sorted(((values, rest) for rest, values in by_rest.items()), key=lambda row: row[0].key)
    return Split(dimension, tuple(kept))


def _or(one: Diagram, other: Diagram) -> Diagram:
    return _combined("or", one, other)


@lru_cache(maxsize=65536)
def _combined(how: str, one: Diagram, other: Diagram) -> Diagram:
    if one is False or other is False:
        return False if how == "and" else one if how == "less" or other is False else other
    if other is True:
        return one if how == "and" else how == "or"
    if one is True and how != "less":
        return other if how == "and" else True
    if one == other:
        return how != "less" and one
    dimension = _first(one, other)
    rows = _rows(one, dimension)
    others = _rows(other, dimension)
    found: list[tuple[Any, Diagram]] = []
    for values, rest in rows:
        found += _met(how, values, rest, others)
    if how == "or":
        covered = [values for values, _ in rows]
        found += [(_outside(values, covered), rest) for values, rest in others]
    return split(dimension, found)


def _met(how: str, values: Any, rest: Diagram, others: Iterable[tuple[Any, Diagram]]) -> Iterator[tuple[Any, Diagram]]:
    """A row of the one, cut by the rows of the other."""
    left = values
    for other_values, other_rest in others:
        both = left & other_values
        if not both.empty:
            yield both, _combined(how, rest, other_rest)
            left = left - other_values
            if left.empty:
                return
    if how != "and":
        yield left, rest


def _outside(values: Any, covered: Iterable[Any]) -> Any:
    for each in covered:
        values = values - each
    return values


def _first(one: Diagram, other: Diagram) -> Dimension:
    splits = [each.dimension for each in (one, other) if isinstance(each, Split)]
    return min(splits, key=lambda dimension: dimension.place)


def _rows(diagram: Diagram, dimension: Dimension) -> tuple[tuple[Any, Diagram], ...]:
    """The diagram as rows of a dimension that it may leave out."""
    if isinstance(diagram, Split) and diagram.dimension.place == dimension.place:
        return diagram.rows
    return ((dimension.full, diagram),)
