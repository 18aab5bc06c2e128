"""Sets of requests against z3: is anything left, are two the same, is the witness one. An independent judge of each.

z3 gets the rules as they are written (patterns of paths as regular expressions, texts and prefixes as conditions on
strings), never the sets that are made of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import pytest
import z3
from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.spans import Spans
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Diagram
from ringfence.policy.algebra.paths import PathSet
from ringfence.policy.algebra.ports import Ports
from ringfence.policy.algebra.texts import TextSet
from ringfence.policy.algebra.values import MISSING, SEVERAL, Attribute, Methods

from tests.property import alphabets

TCP = 6
HEADER = dimensions.attribute("header:x")

PORT, PATH, METHOD, TEXT = z3.Int("port"), z3.String("path"), z3.String("method"), z3.String("text")
#: What the header is: 0 missing, 1 one text, 2 several.
STATE = z3.Int("state")

_LETTER = z3.Intersect(z3.AllChar(z3.ReSort(z3.StringSort())), z3.Complement(z3.Re("/")))
_SEGMENT = z3.Plus(_LETTER)
_ENTERED = z3.Concat(z3.Re("/"), _SEGMENT)
#: What every request is, before any rule: a path that is normalized.
SOUND = z3.And(
    z3.InRe(PATH, z3.Union(z3.Re("/"), z3.Concat(z3.Plus(_ENTERED), z3.Option(z3.Re("/"))))),
    z3.And(PORT >= 1, PORT <= 65535),
    z3.And(STATE >= 0, STATE <= 2),
)


@dataclass(frozen=True)
class Written:
    """One rule as it is written; None says nothing of its part."""

    ports: tuple[int, int] | None = None
    methods: tuple[str, ...] | None = None
    paths: tuple[str, ...] | None = None
    exactly: tuple[str, ...] | None = None
    starting: tuple[str, ...] | None = None
    absent: bool = False

    def as_set(self) -> Diagram:
        parts: list[tuple[Any, Any]] = []
        if self.ports is not None:
            parts.append((dimensions.PORT, Ports(Spans(((TCP, *self.ports),)))))
        if self.methods is not None:
            parts.append((dimensions.METHOD, Methods.of(self.methods)))
        if self.paths is not None:
            parts.append((dimensions.PATH, PathSet.of(self.paths)))
        if self.exactly is not None or self.starting is not None:
            texts = TextSet.exactly(self.exactly or ()) | TextSet.starting(self.starting or ())
            parts.append((HEADER, Attribute(texts, self.absent)))
        return diagram.cube(parts)

    def as_formula(self) -> Any:
        parts = []
        if self.ports is not None:
            parts.append(z3.And(self.ports[0] <= PORT, self.ports[1] >= PORT))
        if self.methods is not None:
            parts.append(z3.Or([z3.StringVal(each) == METHOD for each in self.methods]))
        if self.paths is not None:
            parts.append(z3.Or([z3.InRe(PATH, regular(each)) for each in self.paths]))
        if self.exactly is not None or self.starting is not None:
            texts = [z3.StringVal(each) == TEXT for each in self.exactly or ()]
            texts += [z3.PrefixOf(z3.StringVal(each), TEXT) for each in self.starting or ()]
            absent = STATE == 0 if self.absent else z3.BoolVal(False)
            parts.append(z3.Or(z3.And(STATE == 1, z3.Or(texts)), absent))
        return z3.And(parts)


def regular(pattern: str) -> Any:
    """A pattern as a regular expression."""
    head, _, last = pattern.rpartition("/")
    segments = (head if last == "*" else pattern).split("/")[1:]
    parts = [part for each in segments for part in (z3.Re("/"), _SEGMENT if each == "{*}" else z3.Re(each))]
    if last == "*":
        parts += [z3.Re("/"), z3.Full(z3.ReSort(z3.StringSort()))]
    return reduce(z3.Concat, parts) if parts else z3.Re("")


@st.composite
def rules(draw: st.DrawFn) -> Written:
    """A rule that says something of two or three parts."""
    parts = draw(st.lists(st.sampled_from(("ports", "methods", "paths", "texts")), min_size=1, max_size=3, unique=True))
    first = draw(st.integers(1, 20))
    some = {
        "ports": {"ports": (first, first + draw(st.integers(0, 20)))},
        "methods": {"methods": tuple(draw(st.lists(st.sampled_from(alphabets.METHODS[:3]), min_size=1, max_size=2)))},
        "paths": {"paths": tuple(draw(st.lists(alphabets.patterns(), min_size=1, max_size=2)))},
        "texts": {
            "exactly": tuple(draw(st.lists(st.sampled_from(("a", "ab", "b")), max_size=2))),
            "starting": tuple(draw(st.lists(st.sampled_from(("a", "ab", "ba")), max_size=1))),
            "absent": draw(st.booleans()),
        },
    }
    return Written(**{key: value for part in parts for key, value in some[part].items()})  # type: ignore[arg-type]


@dataclass
class Judge:
    """z3 with a bound on what one question may cost; counts what it was asked."""

    asked: int = 0
    unknown: int = 0
    seen: set[str] = field(default_factory=set)

    def satisfiable(self, formula: Any) -> bool | None:
        solver = z3.Solver()
        solver.set("timeout", 2000)
        solver.add(SOUND, formula)
        self.asked += 1
        found = solver.check()
        if found == z3.unknown:
            self.unknown += 1
            return None
        return bool(found == z3.sat)


@pytest.fixture(scope="module")
def judge(summary: Callable[[str], None]) -> Iterator[Judge]:
    found = Judge()
    yield found
    summary(f"sets of requests: z3 agrees {found.asked - found.unknown} times, cannot tell {found.unknown} times")
    assert found.unknown * 20 <= found.asked


_SOME = st.lists(rules(), min_size=1, max_size=3)


def _set(some: list[Written]) -> Diagram:
    return diagram.union(each.as_set() for each in some)


def _formula(some: list[Written]) -> Any:
    return z3.Or([each.as_formula() for each in some])


@settings(max_examples=60)
@given(_SOME, _SOME)
def test_what_denies_leave_is_empty_where_z3_finds_nothing(
    judge: Judge, allows: list[Written], denies: list[Written]
) -> None:
    left = diagram.subtract(_set(allows), _set(denies))
    formula = z3.And(_formula(allows), z3.Not(_formula(denies)))
    assert judge.satisfiable(formula) in {left is not False, None}
    found = diagram.witness(left)
    if found is not None:
        assert judge.satisfiable(z3.And(formula, *_equal(dimensions.point(found)))) in {True, None}


def _equal(point: Any) -> Iterator[Any]:
    """The request is this one."""
    kind, port = point["port"]
    yield (port if kind == TCP else 1) == PORT
    yield z3.StringVal(point["path"]) == PATH
    yield z3.StringVal(point["method"]) == METHOD
    header = point[HEADER.name]
    yield {MISSING: 0, SEVERAL: 2}.get(header, 1) == STATE
    if isinstance(header, str):
        yield z3.StringVal(header) == TEXT


@settings(max_examples=60)
@given(_SOME, _SOME, _SOME)
def test_sets_are_equal_where_z3_finds_no_difference(
    judge: Judge, one: list[Written], other: list[Written], denies: list[Written]
) -> None:
    left, right = (diagram.subtract(_set([*some, *more]), _set(denies)) for some, more in ((one, other), (other, [])))
    formulas = [
        z3.And(_formula([*some, *more]), z3.Not(_formula(denies))) for some, more in ((one, other), (other, []))
    ]
    assert judge.satisfiable(z3.Xor(*formulas)) in {left != right, None}
