"""The requests that an invariant is about, and whom some rules let through with which of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import sub
from typing import Any, Final, TypeVar

from ringfence.model.effective import EffectiveRule
from ringfence.model.requests import Asked, Opaque, Request, Requests
from ringfence.model.resources import Action, Invariant, Promise
from ringfence.model.spans import ALL, Spans
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, NOTHING, Diagram, cube, intersect, subtract, union, witness
from ringfence.policy.reasoning import bearing, sent

_HTTP: Final = cube([(dimensions.TRAFFIC, dimensions.HTTP)])
_PLAIN: Final = cube([(dimensions.UPGRADE, dimensions.NO_UPGRADE)])
_HEADER: Final = "header:"
_QUERY: Final = "query:"

#: A set of callers: parties as bits, or addresses.
Callers = TypeVar("Callers", int, Spans)


def of(invariant: Invariant) -> Diagram | None:
    """The requests that an invariant is about; None when it does not ask.

    Read as in a Deny where they must never pass, so that bytes in which nobody sees a request count too; as in an
    Allow where they always must.
    """
    if not invariant.http:
        return None
    if invariant.promise is Promise.NEVER:
        return sent.named(Requests(invariant.http), True)
    return sent.told_apart(Requests(invariant.http), False)


def named(rule: EffectiveRule) -> Diagram:
    """The requests that a rule names."""
    asked = sent.told_apart if rule.tunnels else sent.named
    return asked(rule.requests, rule.action is Action.DENY)


def parties(rules: Sequence[tuple[EffectiveRule, int]], everyone: int, asked: Diagram, *, whole: bool) -> int:
    """The parties that rules let through with some request of ``asked`` (``whole``: with every one).

    ``rules`` with the parties that each names; Deny wins over Allow.
    """
    found = 0
    for mask, passing in _regions(rules, everyone, lambda one, other: one & ~other, lambda one: not one):
        found |= mask if _open(passing, asked, whole=whole) else 0
    return found


def addresses(rules: Sequence[tuple[EffectiveRule, Spans]], asked: Diagram, *, whole: bool) -> Spans:
    """The same of addresses outside."""
    found = Spans()
    for part, passing in _regions(rules, ALL, sub, lambda one: one.empty):
        found = found | part if _open(passing, asked, whole=whole) else found
    return found


def passing(rules: Iterable[EffectiveRule]) -> Diagram:
    """The requests that rules let through, all of which name the caller."""
    allowed: Diagram = NOTHING
    denied: Diagram = NOTHING
    for rule in rules:
        if rule.builtin:
            return EVERYTHING
        if rule.action is Action.DENY:
            denied = union((denied, named(rule)))
        elif rule.suspended_by is None:
            allowed = union((allowed, named(rule)))
    return subtract(allowed, denied)


def example(requests: Diagram) -> Asked:
    """One of a set of requests, the plainest if it can be; bytes where there is no other."""
    for wanted in (intersect(intersect(requests, _HTTP), _PLAIN), intersect(requests, _HTTP)):
        point = witness(wanted)
        if point is not None:
            return _request(dimensions.point(point), point)
    return Opaque()


def _open(passing: Diagram, asked: Diagram, *, whole: bool) -> bool:
    if whole:
        return subtract(asked, passing) is NOTHING
    return intersect(asked, passing) is not NOTHING


def _regions(
    rules: Sequence[tuple[EffectiveRule, Callers]],
    everyone: Callers,
    less: Callable[[Callers, Callers], Callers],
    empty: Callable[[Callers], bool],
) -> list[tuple[Callers, Diagram]]:
    """Callers told apart as far as what they may send differs, each with what that is."""
    regions: dict[tuple[Diagram, Diagram], Callers] = {(NOTHING, NOTHING): everyone}
    for rule, named_ in rules:
        deny, requests = rule.action is Action.DENY, named(rule)
        following: dict[tuple[Diagram, Diagram], Callers] = {}
        for (allowed, denied), region in regions.items():
            both = (allowed, union((denied, requests))) if deny else (union((allowed, requests)), denied)
            for key, part in ((both, region & named_), ((allowed, denied), less(region, named_))):
                if not empty(part):
                    following[key] = following[key] | part if key in following else part
        regions = following
    return [(region, subtract(*key)) for key, region in regions.items()]


def _request(whole: Mapping[str, Any], point: Mapping[str, Any]) -> Request:
    """A point of the sets as a request; what no rule asks for is left out."""
    host = whole[dimensions.HOST.name]
    query = [f"{name}={value}" for name, values in _given(point, _QUERY) for value in values]
    times = {name: value for name, value in point.items() if name.startswith(dimensions.TIME)}
    return Request(
        whole[dimensions.METHOD.name],
        whole[dimensions.PATH.name] + (f"?{'&'.join(query)}" if query else ""),
        host if isinstance(host, str) else "",
        dict(_given(point, _HEADER)),
        whole[dimensions.UPGRADE.name],
        sent.some_moment(times) if times else None,
        tokens=bearing.some(point),
    )


def _given(point: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of attributes of one kind with their values: two where it must not be clear which one counts."""
    for name, value in point.items():
        if name.startswith(prefix) and value is not None:
            yield name.removeprefix(prefix), (value,) if isinstance(value, str) else ("a", "b")
