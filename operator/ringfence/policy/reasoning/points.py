"""A concrete request as a point of the sets, and the part of one that a question names."""

import re
from dataclasses import replace
from typing import Any, Final

from ringfence.model.effective import Direction, EffectiveRule
from ringfence.model.requests import Opaque, Request
from ringfence.model.resources import Action
from ringfence.policy import paths, queries, requests, tokens
from ringfence.policy.algebra import diagram, dimensions
from ringfence.policy.algebra.diagram import Diagram, cube
from ringfence.policy.algebra.ports import Names, Ports
from ringfence.policy.algebra.values import MISSING, SEVERAL, Methods
from ringfence.policy.reasoning import bearing as bearing_
from ringfence.policy.reasoning import sent as sent_
from ringfence.policy.reasoning.side import requests_of

#: A host with its port, which is no part of its name.
_HOST: Final = re.compile(r"(?P<name>[^:@]*)(:[0-9]{1,5})?")
_NOTHING: Final = Methods()
#: Bytes ask for no tunnel.
_BYTES: Final = {dimensions.TRAFFIC.name: "bytes", dimensions.METHOD.name: "GET"}
_HTTP: Final = {dimensions.TRAFFIC.name: "HTTP"}
_QUERY: Final = "query:"
#: What is told of where the moment is.
TIME: Final = "time"


def header(name: str) -> str:
    """The dimension of a header, by its name in small letters."""
    return f"header:{name}"


def point(request: Request) -> dict[str, Any]:
    """The values of a request as rules see it, by dimension; an attribute that it does not have is left out.

    A host with user information is one that nobody can read; so counts, here only, any that is not ``readable``.
    Requests that a proxy refuses and those that can be read in two ways where a rule looks have no place in the sets:
    policy.requests knows them.
    """
    # Rules name methods in upper case; one that is spelled otherwise is the same to Denies, however it is.
    method = request.method if request.method == request.method.upper() else request.method.lower()
    return {
        **_HTTP,
        dimensions.METHOD.name: method,
        dimensions.PATH.name: paths.normalized(request.path) or "/",
        dimensions.HOST.name: _host(request.host.lower()),
        dimensions.UPGRADE.name: request.upgrade.lower(),
        **{header(name): ",".join(values) for name, values in request.headers.items()},
    }


def whole(request: Request, calls: Diagram) -> dict[str, Any]:
    """The values of a request in every dimension that matters for some calls: parameters, the time and tokens too."""
    found = point(request)
    for name in diagram.names(calls):
        if name.startswith(_QUERY):
            found[name] = queries.value(request.target, name.removeprefix(_QUERY))
        elif name.startswith(dimensions.TIME) and request.time is not None:
            found[name] = sent_.moment(name, request.time)
        elif name.startswith(dimensions.OF_TOKENS):
            found[name] = bearing_.value(name, request)
    return found


def readable(host: str) -> bool:
    """Whether a host is a name, or a name with the number of a port."""
    return _HOST.fullmatch(host) is not None


def _host(text: str) -> str | tuple[str] | None:
    if not text:
        return MISSING
    found = _HOST.fullmatch(text)
    return found["name"] if found is not None else SEVERAL


def named(calls: Diagram, port: tuple[int, int], sent: Request | Opaque | None, told: frozenset[str] | None) -> Diagram:
    """Those of ``calls`` that a question about one port (a member of Ports) names, by what it leaves free.

    ``sent`` is the request, bytes, or None for any request at all. ``told`` are the dimensions of which the question
    says anything; None: it is this one request, so that the answer is True or False.
    """
    on_port = {dimensions.PORT.name: port}
    if sent is None:
        return diagram.given(calls, {**on_port, **_HTTP})
    if isinstance(sent, Opaque):
        return diagram.given(calls, {**on_port, **_BYTES})
    found = whole(sent, calls)
    if told is None:
        return diagram.holds(calls, dimensions.point({**on_port, **found}))
    known = told | {name for name in found if _comes_with(name) in told}
    return diagram.given(calls, {**on_port, **_HTTP, **{name: found.get(name, MISSING) for name in known}})


def _comes_with(name: str) -> str:
    """What says all of a dimension, where it is told: the query is a part of the path as it is sent."""
    if name.startswith(_QUERY):
        return dimensions.PATH.name
    return TIME if name.startswith(dimensions.TIME) else name


def says(rule: EffectiveRule, names: Names, one: Request | None, bearing: Request | None = None) -> Diagram:
    """The requests that a rule names; where all that is asked about is ``one``, by their ports alone.

    Where all that is asked about brings the tokens of ``bearing``, those of them, whatever rules ask of tokens.
    """
    if rule.requests is None:
        tunnel = one is not None and one.tunnel and rule.direction is Direction.INGRESS
        if tunnel and rule.action is Action.ALLOW and not rule.builtin:
            return cube([(dimensions.PORT, Ports.at(rule.ports, names)), (dimensions.TRAFFIC, dimensions.BYTES)])
        return requests_of(rule, names)
    if one is None:
        left = without_token(rule, bearing)
        return requests_of(left, names) if left is not None else _of_traffic(rule, names, _NOTHING)
    return _of_traffic(rule, names, dimensions.HTTP if requests.matches(rule.requests, one, rule.action) else _NOTHING)


def without_token(rule: EffectiveRule, bearing: Request | None) -> EffectiveRule | None:
    """What a rule asks beside the token of requests that bring those of ``bearing``; None where it is not about them.

    A request without any says nothing of tokens: they may be any, and the rule is as it is.
    """
    asked = rule.requests
    if asked is None or asked.token is None or bearing is None or not bearing.tokens:
        return rule
    if not tokens.matches(asked.token, bearing, rule.action):
        return None
    return replace(rule, requests=replace(asked, token=None))


def _of_traffic(rule: EffectiveRule, names: Names, http: Methods) -> Diagram:
    deny = rule.action is Action.DENY
    traffic = http | dimensions.BYTES if deny else http
    return cube([(dimensions.PORT, Ports.at(rule.ports, names)), (dimensions.TRAFFIC, traffic)])
