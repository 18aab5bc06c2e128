"""The rules that almost matched a call: those that differ from it in the fewest parts, and in which.

The parts are the pod that is governed (``subject``), the other end (``peer``), the port, and of the requests that a
rule names the method, path, host, upgrade, gRPC, each header, each parameter of the query, the time and the token; of
several entries of ``http`` the one that differs least counts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ringfence.model.effective import EffectivePolicy, EffectiveRule
from ringfence.model.requests import HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import Action, Mode
from ringfence.policy import decide, requests, tokens
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Call

#: Parts that come before all others in what is shown: what people most likely got wrong.
_ORDER: Final = ("request", "bytes", "port", "peer", "subject")
#: What says all of a part, where a question tells it: the query is sent with the path.
_TOLD_BY: Final = {"header": "header:{}", "parameter": "path"}
#: The part that all is that a rule asks of tokens.
TOKEN: Final = "token"  # noqa: S105 (a word, not a secret)


@dataclass(frozen=True, slots=True)
class Near:
    """A rule and the parts in which it differs from a call.

    ``differing`` are some of ``subject``, ``peer``, ``port``; ``bytes`` (the call carries bytes, in which nobody sees a
    request); ``method``, ``path``, ``host``, ``upgrade``, ``gRPC``, ``header NAME``, ``parameter NAME``, ``time``,
    ``token``; ``request`` for any other part.
    """

    rule: EffectiveRule
    differing: tuple[str, ...]

    @property
    def of_request(self) -> tuple[str, ...]:
        """Those of the parts that are of the request."""
        return tuple(each for each in self.differing if each not in _ORDER[1:])


def nearest(
    policy: EffectivePolicy, call: Call, action: Action, told: frozenset[str] | None = None
) -> tuple[Near, ...]:
    """The enforced rules of an action that differ from a call in the fewest parts, those most likely meant first.

    Of the request only the dimensions that ``told`` names count; None: all. What always or never holds (built-in
    rules, calls inside) is not among them.
    """
    found = [
        Near(rule, parts)
        for rule in policy.rules
        if rule.action is action and rule.direction is call.direction and rule.mode is Mode.ENFORCE
        if not rule.builtin and not is_inside(rule.ref) and (parts := tuple(_differing(rule, call, told)))
    ]
    fewest = min((len(each.differing) for each in found), default=0)
    close = (each for each in found if len(each.differing) == fewest)
    return tuple(sorted(close, key=lambda each: (_place(each), each.rule.ref)))


def _place(near: Near) -> list[int]:
    return sorted(_ORDER.index(each) if each in _ORDER else 0 for each in near.differing)


def _differing(rule: EffectiveRule, call: Call, told: frozenset[str] | None) -> Iterator[str]:
    if isinstance(call.request, Request) and rule.requests is not None:
        yield from _of_request(rule.requests, call.request, rule.action, told)
    elif isinstance(call.request, Opaque) and rule.requests is not None and rule.action is Action.ALLOW:
        yield "bytes"
    elif _no_tunnel(rule, call):
        yield "method"
    if not rule.ports.contains(call.protocol, call.port, call.names):
        yield "port"
    if not any(decide.matches(peer, call.other, call.world, unproven=call.unproven) for peer in rule.peers):
        yield "peer"
    if not rule.subject.matches(call.governed.labels):
        yield "subject"


def _no_tunnel(rule: EffectiveRule, call: Call) -> bool:
    """Whether a rule that is about whatever is sent is so about no tunnel."""
    return isinstance(call.request, Request) and call.request.tunnel and rule.action is Action.ALLOW


def _of_request(rule: Requests, request: Request, action: Action, told: frozenset[str] | None) -> list[str]:
    """The parts of a request in which it differs from the rule."""
    tunnel = request.tunnel
    of_match = _of_tunnel if tunnel else _of_match
    ways = [list(of_match(match, request, action)) for match in rule.http]
    ways = ways or [["method"] if tunnel and action is Action.ALLOW else []]
    # What else is asked does not depend on the method, which a CONNECT has to have named.
    request = _plain(request, request.upgrade) if tunnel else request
    conditions = (*_of_headers(rule, request, action), *_of_query(rule, request, action))
    others = (*conditions, *_of_time(rule, request, action), *_of_token(rule, request, action))
    found = [*min((_counting(way, told) for way in ways), key=len), *_counting(others, told)]
    if not found and told is None and not tunnel and not requests.matches(rule, request, action):
        return ["request"]
    return found


def _counting(parts: Iterable[str], told: frozenset[str] | None) -> list[str]:
    return [each for each in parts if told is None or _said_by(each) in told]


def _said_by(part: str) -> str:
    """The word for a part among those that ``told`` names."""
    kind, _, name = part.partition(" ")
    return _TOLD_BY.get(kind, kind).format(name)


def _of_match(match: HttpMatch, request: Request, action: Action) -> Iterator[str]:
    """The parts that differ, each found by asking about that part alone."""
    alone = (
        ("method", HttpMatch(methods=match.methods, grpc=match.grpc and action is Action.DENY), match.methods),
        ("path", HttpMatch(paths=match.paths), match.paths),
        ("host", HttpMatch(hosts=match.hosts), match.hosts),
        ("gRPC", HttpMatch(grpc=match.grpc), match.grpc),
    )
    for name, part, there in alone:
        if there and not requests.matches(Requests((part,)), replace(request, upgrade=""), action):
            yield name
    if not requests.matches(Requests((HttpMatch(upgrades=match.upgrades),)), request, action):
        yield "upgrade"


def _of_tunnel(match: HttpMatch, request: Request, action: Action) -> Iterator[str]:
    """The same of a CONNECT, which has no path."""
    alone = replace(match, hosts=(), upgrades=())
    if not requests.matches(Requests((alone,)), replace(request, upgrade=""), action):
        yield "method"
    if match.hosts and not requests.matches(Requests((HttpMatch(hosts=match.hosts),)), _plain(request), action):
        yield "host"
    if not requests.matches(Requests((HttpMatch(upgrades=match.upgrades),)), _plain(request, request.upgrade), action):
        yield "upgrade"


def _plain(request: Request, upgrade: str = "") -> Request:
    """The request as one that asks for no tunnel."""
    return replace(request, method="GET", path="/", upgrade=upgrade)


def _of_headers(rule: Requests, request: Request, action: Action) -> Iterator[str]:
    for condition in rule.when:
        if not requests.matches(Requests(when=(condition,)), request, action):
            yield f"header {condition.header}"


def _of_query(rule: Requests, request: Request, action: Action) -> Iterator[str]:
    for condition in rule.query:
        if not requests.matches(Requests(query=(condition,)), request, action):
            yield f"parameter {condition.parameter}"


def _of_time(rule: Requests, request: Request, action: Action) -> Iterator[str]:
    if not requests.matches(Requests(times=rule.times), request, action):
        yield "time"


def _of_token(rule: Requests, request: Request, action: Action) -> Iterator[str]:
    if rule.token is not None and not tokens.matches(rule.token, request, action):
        yield TOKEN
