"""What rules say of requests, as sets: methods, paths, hosts, upgrades, headers, parameters, the time and tokens.

What is missing or can be read in two ways counts against the request: the same words are a smaller set in an Allow than
in a Deny. Requests that a proxy refuses whatever the rules say are not taken out. A condition on the time is one that
holds or does not: sets do not know which windows are within which.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Protocol

from ringfence.model import hosts
from ringfence.model.requests import CONNECT, HttpMatch, Requests, TimeCondition
from ringfence.model.tokens import TokenMatch
from ringfence.model.windows import MONDAY, WEEK, Window
from ringfence.policy import requests, spelling
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, Dimension, cube, intersect, union
from ringfence.policy.algebra.paths import PathSet
from ringfence.policy.algebra.texts import EVERY_TEXT, NO_TEXT, TextSet
from ringfence.policy.algebra.values import Attribute, Methods
from ringfence.policy.reasoning import bearing

_BELOW: Final = "/*"
_GRPC: Final = TextSet.starting(("application/grpc",))
_CONTENT_TYPE: Final = "content-type"
#: A parameter that has no value: some programs read it as missing.
_EMPTY: Final = TextSet.exactly(("",))

Part = tuple[Dimension, Any]


class Match(Protocol):
    """Requests with one of these methods, paths and hosts; what is empty says nothing."""

    @property
    def methods(self) -> tuple[str, ...]: ...

    @property
    def paths(self) -> tuple[str, ...]: ...

    @property
    def hosts(self) -> tuple[str, ...]: ...

    @property
    def upgrades(self) -> tuple[str, ...]: ...

    @property
    def grpc(self) -> bool: ...


class Condition(Protocol):
    """A condition on a header: ``test`` is in, notIn, prefix, exists or absent."""

    @property
    def header(self) -> str: ...

    @property
    def test(self) -> str: ...

    @property
    def values(self) -> tuple[str, ...]: ...


class Parameter(Protocol):
    """The same on a parameter of the query."""

    @property
    def parameter(self) -> str: ...

    @property
    def test(self) -> str: ...

    @property
    def values(self) -> tuple[str, ...]: ...


class Sent(Protocol):
    """The requests that a rule names: any of ``http`` (empty: all), all of ``when``, ``query`` and ``times``, and what
    ``token`` asks."""

    @property
    def http(self) -> tuple[Match, ...]: ...

    @property
    def when(self) -> tuple[Condition, ...]: ...

    @property
    def query(self) -> tuple[Parameter, ...]: ...

    @property
    def times(self) -> tuple[TimeCondition, ...]: ...

    @property
    def token(self) -> TokenMatch | None: ...


@lru_cache(maxsize=16384)
def named(sent: Sent | None, deny: bool) -> Diagram:
    """The requests that a rule names. Of bytes that are no HTTP an Allow of some requests allows none, a Deny all."""
    if sent is None:
        return EVERYTHING
    found = union(cube(_match(each, deny)) for each in sent.http) if sent.http else EVERYTHING
    for condition in sent.when:
        values = _condition(str(condition.test), condition.values, deny)
        found = intersect(found, cube([(dimensions.attribute(f"header:{condition.header}"), values)]))
    for asked in sent.query:
        values = _parameter(str(asked.test), asked.values, deny)
        found = intersect(found, cube([(dimensions.attribute(f"query:{asked.parameter}"), values)]))
    for moment in sent.times:
        holds = dimensions.OUTSIDE if moment.outside else dimensions.WITHIN
        found = intersect(found, cube([(_time(moment.windows), holds)]))
    if sent.token is not None:
        found = intersect(found, bearing.named(sent.token, deny))
    found = intersect(found, cube([(dimensions.TRAFFIC, dimensions.HTTP)]))
    return union((found, cube([(dimensions.TRAFFIC, dimensions.BYTES)]))) if deny else found


_TUNNEL: Final = cube([(dimensions.METHOD, dimensions.TUNNEL)])
_NO_TUNNEL: Final = cube([(dimensions.METHOD, dimensions.NO_TUNNEL)])


@lru_cache(maxsize=4096)
def told_apart(asked: Requests | None, deny: bool) -> Diagram:
    """The same where CONNECT is told apart: an Allow means it where it says so, a Deny where it says no other method.

    ``named`` does not ask: as long as no rule names CONNECT, none passes whatever the rules say. Of one the path is
    anything here.
    """
    found = named(asked, deny)
    if asked is None:
        return found if deny else _NO_TUNNEL
    if deny:
        some = (m for m in asked.http if m.grpc or (m.paths and (not m.methods or CONNECT in m.methods)))
        also = tuple(HttpMatch((CONNECT,), (), each.hosts, each.upgrades) for each in some)
    else:
        found = intersect(found, _NO_TUNNEL)
        also = tuple(each for each in asked.http if CONNECT in each.methods and not (each.paths or each.grpc))
    tunnels = intersect(named(replace(asked, http=also), deny), _TUNNEL) if also else NOTHING
    return union((found, tunnels))


def looked_at(rules: Iterable[Requests | None]) -> frozenset[str]:
    """The names of headers that any of some rules looks at."""
    return frozenset(name for rule in rules if rule is not None for name in requests.looked_at(rule))


def unread(rule: Requests | None, seen: frozenset[str]) -> Diagram:
    """The requests that are refused because of the rule for a header of ``seen``, which other rules look at.

    Of headers that no rule looks at sets know nothing.
    """
    there = Attribute(EVERY_TEXT, several=True)
    names = seen.intersection(requests.unread(rule)) if rule is not None and seen else ()
    return union(
        cube([(dimensions.TRAFFIC, dimensions.HTTP), (dimensions.attribute(f"header:{name}"), there)])
        for name in sorted(names)
    )


#: The windows behind each dimension of time, by its name: they say as much, in words.
_WINDOWS: Final[dict[str, tuple[Window, ...]]] = {}


@lru_cache(maxsize=4096)
def _time(windows: tuple[Window, ...]) -> Dimension:
    dimension = dimensions.time(spelling.windows(windows))
    _WINDOWS[dimension.name] = windows
    return dimension


def moment(name: str, time: int) -> str:
    """The value of a dimension of time (as rules have made it) at a moment, in seconds since the epoch."""
    within = any(window.holds(time) for window in _WINDOWS[name])
    return (dimensions.WITHIN if within else dimensions.OUTSIDE).witness()


def some_moment(values: Mapping[str, str]) -> int | None:
    """A moment at which dimensions of time (as rules have made them) have these values; None where there is none."""
    windows = [window for name in values for window in _WINDOWS[name]]
    bounds = {bound for each in windows for bound in (each.not_before, each.not_after) if bound is not None}
    near = sorted({0, *bounds, *(bound - 1 for bound in bounds)})
    edges = {edge for each in windows for span in each.spans() for edge in span}
    # A bound falls somewhere into a week: the next day of a window may be in the one before or after it.
    weeks = {((moment + MONDAY) // WEEK + by) * WEEK - MONDAY for moment in near for by in (-1, 0, 1)}
    moments = [*near, *sorted(week + edge for week in weeks for edge in edges)]
    fitting = (each for each in moments if each >= 0 and all(moment(name, each) == values[name] for name in values))
    return next(fitting, None)


@lru_cache(maxsize=4096)
def to_hosts(patterns: tuple[str, ...]) -> Diagram:
    """What goes to hosts of these names (patterns of model.hosts)."""
    texts = NO_TEXT
    for pattern in patterns:
        text = dimensions.name_text(pattern)
        wide = hosts.is_wildcard(pattern)
        texts |= TextSet.starting((text.removesuffix("*"),)) if wide else TextSet.exactly((text,))
    return cube([(dimensions.NAME, Attribute(texts))])


def _match(match: Match, deny: bool) -> Iterator[Part]:
    if match.methods and not (match.grpc and deny):
        # Spelled in small letters it stands for every spelling but the usual one.
        spelled = {each.lower() for each in match.methods} if deny else set()
        yield dimensions.METHOD, Methods.of({*match.methods, *spelled})
    if match.paths:
        yield dimensions.PATH, PathSet.of(_patterns(match.paths, deny))
    if match.hosts:
        yield dimensions.HOST, _hosts(match.hosts, deny)
    if match.grpc and not deny:
        yield dimensions.attribute(f"header:{_CONTENT_TYPE}"), Attribute(_GRPC, several=True)
    if match.upgrades:
        yield dimensions.UPGRADE, Methods.of(match.upgrades)
    elif not deny:
        yield dimensions.UPGRADE, dimensions.NO_UPGRADE


def _patterns(patterns: Iterable[str], deny: bool) -> Iterator[str]:
    """For a Deny a slash at the end makes no difference, unless all below is named."""
    for each in patterns:
        yield each
        if deny and not each.endswith(_BELOW):
            yield each.removesuffix("/") or "/"
            yield each.removesuffix("/") + "/"


def _hosts(hosts: tuple[str, ...], deny: bool) -> Attribute:
    """Ports are no part of a host here; one with user information is told as several."""
    if not deny:
        return Attribute(TextSet.exactly(hosts))
    return Attribute(TextSet.exactly((*hosts, *(f"{each}." for each in hosts))), absent=True, several=True)


def _condition(test: str, values: tuple[str, ...], deny: bool) -> Attribute:
    match test:
        case "in":
            return Attribute(TextSet.exactly(values), absent=deny, several=deny)
        case "notIn":
            return Attribute(~TextSet.exactly(values), absent=deny, several=deny)
        case "prefix":
            return Attribute(TextSet.starting(values), absent=deny, several=deny)
        case "exists":
            return Attribute(EVERY_TEXT, several=True)
        case "absent":
            return Attribute(NO_TEXT, absent=True)
    raise ValueError(f"{test!r} is no test of a header")


def _parameter(test: str, values: tuple[str, ...], deny: bool) -> Attribute:
    """As of a header, but for a parameter without a value, which counts against the request."""
    found = _condition(test, values, deny)
    if test == "exists":
        return found if deny else Attribute(found.texts - _EMPTY, several=True)
    if test == "absent":
        return Attribute(_EMPTY, absent=True) if deny else found
    texts = found.texts | _EMPTY if deny else found.texts - _EMPTY
    return Attribute(texts, found.absent, found.several)
