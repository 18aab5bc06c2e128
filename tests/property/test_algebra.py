"""Sets of requests against what is in them, one member after the other, and against z3."""

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ringfence.policy.algebra import diagram
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.algebra.paths import EVERY_PATH, Clause, PathSet
from ringfence.policy.algebra.ports import EVERY_PORT
from ringfence.policy.algebra.texts import EVERY_TEXT, TextSet
from ringfence.policy.algebra.values import ANY_OR_NONE, EVERY_METHOD

from tests.property import alphabets
from tests.property.alphabets import AXES

#: How a kind of sets is made, the values that are asked about, and the set of all values.
KINDS: dict[str, tuple[st.SearchStrategy[Any], Collection[Any], Any]] = {
    "paths": (alphabets.path_sets(), alphabets.PATHS, EVERY_PATH),
    "texts": (alphabets.text_sets(), alphabets.TEXTS, EVERY_TEXT),
    "attributes": (alphabets.attributes(), alphabets.VALUES, ANY_OR_NONE),
    "methods": (alphabets.methods(), alphabets.METHODS, EVERY_METHOD),
    "ports": (alphabets.port_sets(), alphabets.PORTS, EVERY_PORT),
    "members": (alphabets.members(), range(4), alphabets.WHO.full),
}
kinds = pytest.mark.parametrize("kind", sorted(KINDS))


@kinds
@given(st.data())
def test_operations_are_those_of_sets(kind: str, data: st.DataObject) -> None:
    sets, values, full = KINDS[kind]
    one, other = data.draw(sets), data.draw(sets)
    for value in values:
        assert (value in one & other) == (value in one and value in other)
        assert (value in one | other) == (value in one or value in other)
        assert (value in one - other) == (value in one and value not in other)
        assert (value in full - one) != (value in one)
        assert value in full


@kinds
@given(st.data())
def test_equal_sets_are_equal_values(kind: str, data: st.DataObject) -> None:
    sets, _, full = KINDS[kind]
    one, other, third = data.draw(sets), data.draw(sets), data.draw(sets)
    pairs = (
        (one & other, other & one),
        (one | other, full - ((full - one) & (full - other))),
        (one - other, one & (full - other)),
        (one & (other | third), (one & other) | (one & third)),
        ((one - other) | (one & other), one),
    )
    for left, right in pairs:
        assert left == right
        assert hash(left) == hash(right)
        assert left.key == right.key
    assert (one == other) == (one.key == other.key)
    assert (one - one).empty


@kinds
@given(st.data())
def test_a_witness_is_a_member(kind: str, data: st.DataObject) -> None:
    sets, values, _ = KINDS[kind]
    one = data.draw(sets) - data.draw(sets)
    if one.empty:
        assert not any(value in one for value in values)
        with pytest.raises(ValueError, match=r".+"):
            one.witness()
    else:
        assert one.witness() in one


def _meaning(clause: Clause) -> PathSet:
    found = PathSet.of((clause.pattern,))
    for each in clause.excepted:
        inside = _meaning(each)
        assert (inside - found).empty
        found -= inside
    return found


@given(alphabets.path_sets(), alphabets.path_sets())
def test_clauses_of_paths_say_exactly_the_set(one: PathSet, other: PathSet) -> None:
    for found in (one, one - other, one | other, EVERY_PATH - one):
        told = PathSet()
        for clause in found.clauses():
            told |= _meaning(clause)
        assert told == found


@given(st.lists(alphabets.patterns(), min_size=1, max_size=3), st.sampled_from(alphabets.PATHS))
def test_patterns_mean_what_their_words_say(patterns: list[str], path: str) -> None:
    assert (path in PathSet.of(patterns)) == any(_by_hand(pattern, path) for pattern in patterns)


def _by_hand(pattern: str, path: str) -> bool:
    wanted, found = pattern.split("/")[1:], path.split("/")[1:]
    if wanted[-1] == "*":
        head = wanted[:-1]
        return len(found) > len(head) and all(map(_segment, head, found))
    return len(found) == len(wanted) and all(map(_segment, wanted, found))


def _segment(wanted: str, found: str) -> bool:
    return bool(found) if wanted == "{*}" else wanted == found


@given(alphabets.text_sets())
def test_what_a_set_of_texts_is_told_as_is_the_set(one: TextSet) -> None:
    told = one.told()
    if told is not None:
        assert TextSet.exactly(told[0]) | TextSet.starting(told[1]) == one


# --- many dimensions -------------------------------------------------------------------------------------------------


def points() -> Iterator[dict[str, Any]]:
    names = [dimension.name for dimension, _, _ in AXES]
    for values in itertools.product(*(values for _, _, values in AXES)):
        yield dict(zip(names, values, strict=True))


POINTS = list(points())
_EVERY = {"and": diagram.intersect, "less": diagram.subtract, "or": lambda one, other: diagram.union((one, other))}
_TRUTH: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda one, other: one and other,
    "less": lambda one, other: one and not other,
    "or": lambda one, other: one or other,
}


@pytest.mark.parametrize("how", sorted(_EVERY))
@given(st.data())
def test_many_dimensions_are_sets_of_points(how: str, data: st.DataObject) -> None:
    one, other = data.draw(alphabets.diagrams()), data.draw(alphabets.diagrams())
    found = _EVERY[how](one, other)
    step = data.draw(st.integers(1, 40))
    for point in POINTS[::step]:
        truth = _TRUTH[how](diagram.holds(one, point), diagram.holds(other, point))
        assert diagram.holds(found, point) == truth


@given(alphabets.diagrams(), alphabets.diagrams(), alphabets.diagrams())
def test_equal_sets_of_points_are_equal_values(one: Diagram, other: Diagram, third: Diagram) -> None:
    both = diagram.intersect(one, other)
    assert diagram.union((diagram.subtract(one, other), both)) == one
    assert diagram.union((other, one)) == diagram.union((one, other))
    assert diagram.subtract(True, diagram.subtract(True, one)) == one
    left = diagram.intersect(one, diagram.union((other, third)))
    assert left == diagram.union((both, diagram.intersect(one, third)))
    assert diagram.union(rebuilt(one)) == one


def rebuilt(one: Diagram) -> list[Diagram]:
    """Its cubes, each by itself."""
    dimensions = {dimension.name: dimension for dimension, _, _ in AXES}
    return [diagram.cube((dimensions[name], values) for name, values in found.items()) for found in diagram.cubes(one)]


@given(alphabets.diagrams(), alphabets.diagrams())
def test_cubes_are_disjoint(one: Diagram, other: Diagram) -> None:
    parts = rebuilt(diagram.subtract(one, other))
    for part, later in itertools.combinations(parts, 2):
        assert diagram.intersect(part, later) is False


@given(alphabets.diagrams(), alphabets.diagrams())
def test_a_witness_of_many_dimensions_is_a_member(one: Diagram, other: Diagram) -> None:
    found = diagram.subtract(one, other)
    point = diagram.witness(found)
    assert (point is None) == (found is False)
    assume(point is not None)
    assert point is not None
    assert diagram.holds(found, {**POINTS[0], **point})
