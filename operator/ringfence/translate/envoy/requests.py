"""The requests that a rule names as Envoy's permissions; the meaning is that of policy.requests."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import path_pb2, regex_pb2, string_pb2
from google.api.expr.v1alpha1 import syntax_pb2

from ringfence.model.requests import CONNECT, Asks, HeaderCondition, HttpMatch, Requests
from ringfence.model.resources import Action
from ringfence.policy import paths
from ringfence.policy.requests import ANY_SEGMENT, BELOW, SPACES, compared, of_values, other_methods, other_paths, twins
from ringfence.translate.envoy import queries, times, tokens
from ringfence.translate.envoy.messages import Message

_METHOD: Final = ":method"
_HOST: Final = ":authority"
_PATH: Final = ":path"
_PROTOCOL: Final = ":protocol"
_UPGRADE: Final = "upgrade"
_TYPE: Final = "content-type"
_GRPC: Final = "application/grpc"
#: Printable ASCII and nothing else.
_PRINTABLE: Final = "[!-~]+"
_SPACED: Final = tuple(string_pb2.StringMatcher(**{where: space}) for space in SPACES for where in ("prefix", "suffix"))
_Cel: Final = syntax_pb2.Expr
_ANY: Final = rbac_pb2.Permission(any=True)


def permission(rule: Requests, action: Action, *, tunnels: bool = False) -> Message:
    """A permission that is the requests that a rule of this action names, the time aside (``condition``).

    With ``tunnels`` CONNECT gets to the rules: the proxy refuses it otherwise.
    """
    http = [each for match in rule.http for each in _ways(match, action, tunnels=tunnels)]
    if tunnels and not rule.http and action is Action.ALLOW:
        http = [no_tunnel()]
    token = [tokens.permission(rule.token, action)] if rule.token is not None else []
    query = (queries.permission(each, action) for each in rule.query)
    return _all([*([_any(http)] if http else ()), *token, *(_condition(each, action) for each in rule.when), *query])


def condition(rule: Requests) -> Message | None:
    """What must be true beside the permission; None for nothing."""
    return times.expression(rule.times)


def _several(header: str) -> Message:
    """A policy, yet of nobody, for requests in which a header comes more than once or has a comma.

    RBAC compares each of several values by itself, so that one of them could satisfy a rule for all; CEL sees them
    joined with commas. It cannot fail, since it is asked only where the header is there.
    """
    name = _cel(const_expr=syntax_pb2.Constant(string_value=header))
    headers = _cel(select_expr=_Cel.Select(operand=_cel(ident_expr=_Cel.Ident(name="request")), field="headers"))
    value = _cel(call_expr=_Cel.Call(function="_[_]", args=[headers, name]))
    comma = _cel(const_expr=syntax_pb2.Constant(string_value=","))
    joined = _cel(call_expr=_Cel.Call(function="contains", target=value, args=[comma]))
    return rbac_pb2.Policy(permissions=[_present(header)], condition=joined)


def _cel(**what: Any) -> Message:
    return _Cel(**what)


def no_tunnel() -> Message:
    """A permission that is every request but CONNECT."""
    return _not(_connect())


def _connect() -> Message:
    return _header(_METHOD, string_pb2.StringMatcher(exact=CONNECT))


def _ways(match: HttpMatch, action: Action, *, tunnels: bool) -> Iterator[Message]:
    """The requests that a match names; of CONNECT, which has no path, those that it names with another word."""
    if not tunnels:
        yield _http(match, action)
    elif action is Action.DENY:
        yield _http(match, action)
        if match.grpc or (match.paths and (not match.methods or CONNECT in match.methods)):
            yield _all([_connect(), _http(replace(match, methods=(), paths=(), grpc=False), action)])
    elif CONNECT in match.methods and not match.paths and not match.grpc:
        # What is asked to change besides, or has a path, is no tunnel as RFC 9110 knows it.
        yield _all([_http(match, action), *(_not(_present(name)) for name in (_PATH, _PROTOCOL))])
    elif match.methods:
        yield _http(match, action)
    else:
        yield _all([_http(match, action), no_tunnel()])


def unclear(rule: Requests, *, tunnels: bool = False) -> Iterator[Message]:
    """Policies, yet of nobody, that together are for the requests that no rule like this one is asked about."""
    of_path = []
    if rule.paths:
        parts = [string_pb2.StringMatcher(contains=part, ignore_case=True) for part in paths.UNCLEAR]
        odd = (string_pb2.StringMatcher(prefix="/"), _regex(_PRINTABLE))
        of_path += [*map(_path, parts), *(_not(_path(each)) for each in odd)]
    of_query = [each for asked in rule.query for each in queries.unclear(asked)]
    places = [_present(name) for name in twins(rule)]
    places += [_header(name, each) for name in of_values(rule) for each in _SPACED]
    if not tunnels:
        places = [*of_path, *places, *of_query]
    elif of_path or of_query:
        places.append(_all([no_tunnel(), _any([*of_path, *of_query])]))
    if places:
        yield rbac_pb2.Policy(permissions=places)
    # Each by itself: they are the same for all rules that look at methods, or at paths, and are told once for these.
    instead = filter(None, (other_methods(rule), other_paths(rule)))
    yield from (rbac_pb2.Policy(permissions=map(_present, each)) for each in instead)
    yield from map(_several, compared(rule))


def _http(match: HttpMatch, action: Action) -> Message:
    deny = action is Action.DENY
    parts = []
    if match.methods and not (match.grpc and deny):
        methods = (string_pb2.StringMatcher(exact=each, ignore_case=deny) for each in match.methods)
        parts.append(_any([_header(_METHOD, each) for each in methods]))
    if match.paths:
        parts.append(_any([_path(each) for pattern in match.paths for each in _patterns(pattern, action)]))
    if match.hosts:
        parts.append(_any([each for host in match.hosts for each in _hosts(host, action)]))
    if match.grpc and not deny:
        parts.append(_header(_TYPE, string_pb2.StringMatcher(prefix=_GRPC)))
    if match.upgrades:
        asked = (string_pb2.StringMatcher(exact=each, ignore_case=True) for each in match.upgrades)
        parts.append(_any([_header(_UPGRADE, each) for each in asked]))
    elif not deny:
        parts.append(_not(_present(_UPGRADE)))
    return _all(parts)


def _patterns(pattern: str, action: Action) -> Iterable[Message]:
    """What the path may be; regular expressions only where a segment is left open, and never of a person's making."""
    below, deny = pattern.endswith(BELOW), action is Action.DENY
    bare = pattern.removesuffix(BELOW) if below else (pattern.rstrip("/") if deny else pattern)
    if ANY_SEGMENT in pattern:
        open_ = "[^/]+".join(_quoted(part) for part in bare.split(ANY_SEGMENT))
        yield _regex(f"{open_}/.*" if below else f"{open_}/?" if deny else open_)
    elif below:
        yield string_pb2.StringMatcher(prefix=f"{bare}/")
    elif deny:
        yield from (string_pb2.StringMatcher(exact=each) for each in (bare, f"{bare}/") if each)
    else:
        yield string_pb2.StringMatcher(exact=bare)


def _hosts(host: str, action: Action) -> Iterable[Message]:
    if action is Action.ALLOW:
        # No name stands in a regular expression: one whose program has more than a hundred steps Envoy does not take.
        port = _header(_HOST, _regex("[^:]*:[0-9]{1,5}"))
        yield _header(_HOST, string_pb2.StringMatcher(exact=host, ignore_case=True))
        yield _all([_header(_HOST, string_pb2.StringMatcher(prefix=f"{host}:", ignore_case=True)), port])
        return
    for each in (host, f"{host}.", ""):
        yield _header(_HOST, string_pb2.StringMatcher(exact=each, ignore_case=bool(each)))
    for each in (f"{host}:", f"{host}.:"):
        yield _header(_HOST, string_pb2.StringMatcher(prefix=each, ignore_case=True))
    yield _header(_HOST, string_pb2.StringMatcher(contains="@"))
    yield _not(_present(_HOST))


def _condition(condition: HeaderCondition, action: Action) -> Message:
    name, test = condition.header, condition.test
    present = _present(name)
    if test is Asks.EXISTS:
        return present
    if test is Asks.ABSENT:
        return _not(present)
    one = _any([_header(name, _value(each, test)) for each in condition.values])
    told = _not(one) if test is Asks.NOT_IN else one
    if action is Action.DENY:
        return _any([_not(present), told])
    return _all([present, told])


def _value(value: str, test: Asks) -> Message:
    return string_pb2.StringMatcher(prefix=value) if test is Asks.PREFIX else string_pb2.StringMatcher(exact=value)


def _regex(text: str) -> Message:
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=text))


def _quoted(text: str) -> str:
    """The text as a regular expression (RE2); what is not a letter, digit or ``_`` may always be escaped."""
    return "".join(char if char.isalnum() or char in "_/" else f"\\{char}" for char in text)


def _header(name: str, matcher: Message) -> Message:
    return rbac_pb2.Permission(header=route_components_pb2.HeaderMatcher(name=name, string_match=matcher))


def _present(name: str) -> Message:
    return rbac_pb2.Permission(header=route_components_pb2.HeaderMatcher(name=name, present_match=True))


def _path(matcher: Message) -> Message:
    return rbac_pb2.Permission(url_path=path_pb2.PathMatcher(path=matcher))


def _not(one: Message) -> Message:
    return rbac_pb2.Permission(not_rule=one)


def _any(several: list[Message]) -> Message:
    return several[0] if len(several) == 1 else rbac_pb2.Permission(or_rules=rbac_pb2.Permission.Set(rules=several))


def _all(several: list[Message]) -> Message:
    if not several:
        return _ANY
    return several[0] if len(several) == 1 else rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=several))
