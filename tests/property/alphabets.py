"""Small alphabets of everything that a request is made of, so that a set can be compared member by member."""

import itertools
from functools import cache

from hypothesis import strategies as st
from ringfence.model.spans import Spans
from ringfence.policy.algebra import dimensions, ports
from ringfence.policy.algebra.diagram import Diagram, Dimension, cube, intersect, subtract, union
from ringfence.policy.algebra.paths import PathSet
from ringfence.policy.algebra.ports import Ports
from ringfence.policy.algebra.texts import TextSet
from ringfence.policy.algebra.values import MISSING, SEVERAL, Attribute, Members, Methods

SEGMENTS = ("a", "b", "cc")
#: Every normalized path of up to three segments, one that no pattern names among them.
PATHS = (
    "/",
    *(
        "".join(f"/{each}" for each in letters) + tail
        for length in (1, 2, 3)
        for letters in itertools.product((*SEGMENTS, "z"), repeat=length)
        for tail in ("", "/")
    ),
)
TEXTS = tuple("".join(letters) for length in range(4) for letters in itertools.product("ab~", repeat=length))
METHODS = ("GET", "POST", "DELETE", "BREW")
VALUES = (*TEXTS, MISSING, SEVERAL)
PORTS = tuple(ports.member(protocol, number) for protocol in ports.Protocol for number in (1, 2, 3, 4, 80, 65535))
WHO = Dimension(0, "who", Members.of(range(4)))
HEADER = dimensions.attribute("header:x")
OTHER = dimensions.attribute("header:y")


@cache
def patterns() -> st.SearchStrategy[str]:
    """Exact paths, prefixes and templates of up to three segments."""
    segment = st.sampled_from((*SEGMENTS, "{*}"))
    tail = st.sampled_from(("", "", "/", "/*"))
    some = st.builds(lambda letters, end: "".join(f"/{x}" for x in letters) + end, st.lists(segment, max_size=3), tail)
    return some.map(lambda text: text or "/")


@cache
def path_sets() -> st.SearchStrategy[PathSet]:
    """What some patterns match, less what others do."""
    some = st.lists(patterns(), max_size=3).map(PathSet.of)
    return st.builds(lambda one, other: one - other, some, some)


@cache
def text_sets() -> st.SearchStrategy[TextSet]:
    """Exact texts and prefixes, or all but these."""
    texts = st.lists(st.sampled_from(TEXTS), max_size=3)
    some = st.builds(
        lambda one, other: TextSet.exactly(one) | TextSet.starting(other),
        texts,
        st.lists(st.sampled_from(TEXTS[1:]), max_size=2),
    )
    return st.one_of(some, some.map(lambda one: ~one))


@cache
def attributes() -> st.SearchStrategy[Attribute]:
    return st.builds(Attribute, text_sets(), st.booleans(), st.booleans())


@cache
def methods() -> st.SearchStrategy[Methods]:
    return st.builds(Methods, st.frozensets(st.sampled_from(METHODS[:3])), st.booleans())


@cache
def port_sets() -> st.SearchStrategy[Ports]:
    """A few spans of ports of each protocol."""
    span = st.builds(
        lambda member, length: (member[0], member[1], min(member[1] + length, 65535)),
        st.sampled_from(PORTS),
        st.integers(0, 3),
    )
    return st.lists(span, max_size=3).map(lambda spans: Ports(Spans.of(spans)))


@cache
def members() -> st.SearchStrategy[Members]:
    return st.integers(0, 15).map(Members)


#: The dimensions of a request with the sets that are tried and the values that are asked about.
AXES = (
    (WHO, members(), range(4)),
    (dimensions.PORT, port_sets(), PORTS[:6]),
    (dimensions.METHOD, methods(), METHODS),
    (dimensions.PATH, path_sets(), ("/", "/a", "/a/", "/a/b", "/cc/z", "/z")),
    (HEADER, attributes(), ("", "a", "ab", MISSING, SEVERAL)),
    (OTHER, attributes(), ("b", MISSING)),
)


@st.composite
def cubes(draw: st.DrawFn) -> Diagram:
    """A cube with conditions on some dimensions."""
    chosen = draw(st.lists(st.sampled_from(AXES), max_size=3, unique_by=lambda axis: axis[0].place))
    return cube((dimension, draw(sets)) for dimension, sets, _ in chosen)


@st.composite
def diagrams(draw: st.DrawFn) -> Diagram:
    """A union of cubes less another, or what two have in common."""
    some, others = (union(draw(st.lists(cubes(), max_size=3))) for _ in range(2))
    return draw(st.sampled_from((subtract, intersect)))(some, others)
