"""Tokens of end users in Envoy's words: jwt_authn looks at signatures, RBAC at claims; the meaning is policy.tokens'.

jwt_authn refuses nothing by itself. It leaves the claims of tokens behind, and a filter after it the mark of those that
are good, so that one place decides, and policies in mode Audit block nobody.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import base_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import metadata_pb2, number_pb2, regex_pb2, string_pb2, value_pb2
from envoy.type.v3 import range_pb2
from google.protobuf import empty_pb2

from ringfence.model.resources import Action
from ringfence.model.tokens import AUTHORIZATION, SPACED, Issuer, TokenMatch, path
from ringfence.policy import tokens
from ringfence.translate.envoy import good, messages, remote_keys
from ringfence.translate.envoy.filters import Ahead
from ringfence.translate.envoy.good import BEFORE, CLAIMS, MARKS
from ringfence.translate.envoy.messages import Message

#: The filter; routes say whether it works for them.
FILTER: Final = "ringfence.tokens"
_EVERY: Final = "every"
#: The number by which the filter says that a token is missing; lower is none, greater what is wrong with one.
_MISSING: Final = 1
_CODES: Final = 1000
_ANYTHING: Final = "(?s).*"
_BOOLEANS: Final = {"true": True, "false": False}
_ANY: Final = rbac_pb2.Permission(any=True)
_Logged: Final = accesslog_pb2.AccessLogFilter
#: Any number: JSON has none beyond.
_NUMBER: Final = value_pb2.ValueMatcher(
    double_match=number_pb2.DoubleMatcher(range=range_pb2.DoubleRange(start=-math.inf, end=math.inf))
)
#: An end that is one.
_AN_END: Final = value_pb2.ValueMatcher(
    double_match=number_pb2.DoubleMatcher(range=range_pb2.DoubleRange(start=0, end=BEFORE))
)


def ahead(issuers: Mapping[str, Issuer]) -> Ahead | None:
    """The filters that check tokens of these issuers (by key) where routes ask for it; None without issuers.

    They hold all issuers that rules may name: with a rule that names another of them the listener stays as it is.
    """
    if not issuers:
        return None
    made = jwt.JwtAuthentication()
    for key in sorted(issuers):
        made.providers[key].CopyFrom(_provider(key, issuers[key]))
    made.requirement_map[_EVERY].CopyFrom(_every(sorted(issuers)))
    marks = (good.marking(key, issuers[key]) for key in sorted(issuers))
    lengths = good.signatures(issuers.values())
    return Ahead((messages.extension(hcm_pb2.HttpFilter, FILTER, made), *lengths, *marks), _not_good(sorted(issuers)))


def of_routes(asked: Iterable[str], issuers: Mapping[str, Issuer]) -> dict[str, Message]:
    """The filter's part of routes on which tokens of these issuers (by key) are asked for."""
    if not any(key in issuers for key in asked):
        return {}
    return {FILTER: messages.packed(jwt.PerRouteConfig(requirement_name=_EVERY))}


def removed(asked: Iterable[TokenMatch], issuers: Mapping[str, Issuer]) -> list[str]:
    """The headers that programs do not get to see."""
    found = (issuers[each.issuer] for each in asked if each.issuer in issuers)
    return sorted({issuer.header for issuer in found if issuer.remove})


def logged(issuers: Mapping[str, Issuer]) -> dict[str, Any]:
    """The part of the log that says why a token is not good; nothing that stands in one."""
    said = {_named(key): f"%CEL({good.why_not(key, issuers[key], _bad(key))})%" for key in sorted(issuers)}
    return {"tokens": said} if said else {}


def _not_good(keys: list[str]) -> Message:
    """Of requests in the log those that bring a token and no good one."""
    bad = [each for key in keys for each in _brought(key)]
    return _both([_Logged(or_filter=accesslog_pb2.OrFilter(filters=bad)), *map(_no_good_one, keys)])


def _both(several: list[Message]) -> Message:
    return _Logged(and_filter=accesslog_pb2.AndFilter(filters=several))


def _no_good_one(key: str) -> Message:
    """No good token of an issuer is there: it has no mark."""
    path = [metadata_pb2.MetadataMatcher.PathSegment(key=key)]
    matcher = metadata_pb2.MetadataMatcher(filter=MARKS, path=path, value=_boolean(False))
    missing = messages.true()
    return _Logged(metadata_filter=accesslog_pb2.MetadataFilter(matcher=matcher, match_if_key_not_found=missing))


def _brought(key: str) -> Iterable[Message]:
    """A token of an issuer is there: jwt_authn has told what is wrong with it, as it may of one that is missing, or has
    left its claims."""
    told = range_pb2.DoubleRange(start=_MISSING + 1, end=_CODES)
    code = value_pb2.ValueMatcher(double_match=number_pb2.DoubleMatcher(range=told))
    yield _in_log((_bad(key), "code"), code)
    yield _in_log((key, "exp"), _NUMBER)


def _in_log(names: tuple[str, ...], value: Message) -> Message:
    path = [metadata_pb2.MetadataMatcher.PathSegment(key=each) for each in names]
    matcher = metadata_pb2.MetadataMatcher(filter=CLAIMS, path=path, value=value)
    missing = messages.false()
    return _Logged(metadata_filter=accesslog_pb2.MetadataFilter(matcher=matcher, match_if_key_not_found=missing))


def _named(key: str) -> str:
    """The key as it can stand in the format of a log, where a colon separates."""
    return key.removeprefix(":")


def _bad(key: str) -> str:
    """Where the filter says why a token of an issuer is not good, or that it is missing."""
    return f"bad {_named(key)}"


def _provider(key: str, issuer: Issuer) -> Message:
    place = jwt.JwtHeader(name=issuer.header, value_prefix="Bearer " if issuer.header == AUTHORIZATION else "")
    return jwt.JwtProvider(
        issuer=issuer.issuer,
        audiences=issuer.audiences,
        require_expiration=True,
        max_lifetime=messages.seconds(issuer.max_lifetime),
        local_jwks=None if issuer.fetched else base_pb2.DataSource(inline_string=issuer.jwks),
        remote_jwks=remote_keys.remote(issuer) if issuer.fetched else None,
        # Else the header would be gone before rules have seen that it is there once only.
        forward=True,
        # Without a place Envoy would look into the query too.
        from_headers=[place],
        payload_in_metadata=key,
        header_in_metadata=good.head(key),
        failed_status_in_metadata=_bad(key),
        normalize_payload_in_metadata=jwt.JwtProvider.NormalizePayload(space_delimited_claims=SPACED),
        clock_skew_seconds=issuer.skew,
    )


def _every(keys: list[str]) -> Message:
    """Each issuer's token is looked for by itself, and none has to be there."""
    bypass = jwt.JwtRequirement(allow_missing_or_failed=empty_pb2.Empty())
    each = [
        jwt.JwtRequirement(
            requires_any=jwt.JwtRequirementOrList(requirements=[jwt.JwtRequirement(provider_name=key), bypass])
        )
        for key in keys
    ]
    if len(each) == 1:
        return each[0]
    return jwt.JwtRequirement(requires_all=jwt.JwtRequirementAndList(requirements=each))


def permission(match: TokenMatch, action: Action) -> Message:
    """The requests that a rule of this action names as far as their token goes."""
    deny = action is Action.DENY
    if not match.header:
        return _ANY if deny else _not(_ANY)
    marked = _good(match.issuer)
    if match.absent:
        return _not(marked)
    asked = [_one_of(match.issuer, name, values, deny=deny) for name, values in match.claims]
    return _any([_not(marked), _all(asked)]) if deny else _all([marked, *asked])


def _good(issuer: str) -> Message:
    """A good token is there. The end that jwt_authn has left is asked for besides, so that no mark counts alone."""
    segments = [metadata_pb2.MetadataMatcher.PathSegment(key=issuer)]
    mark = metadata_pb2.MetadataMatcher(filter=MARKS, path=segments, value=_boolean(True))
    return _all([rbac_pb2.Permission(metadata=mark), _claim(issuer, ("exp",), _AN_END)])


def _one_of(issuer: str, name: str, values: tuple[str, ...], *, deny: bool) -> Message:
    told = [each for value in values for each in _value(value)]
    one = _claim(issuer, path(name), _or([*told, _member(told)]))
    if not deny:
        return one
    others = [*map(_boolean, _BOOLEANS.values()), _NUMBER]
    # Without a word in it Envoy leaves the text of a list of words as it is.
    some = [_matching("(?s).*[^ ].*" if name in SPACED else _ANYTHING), *others]
    there = _claim(issuer, path(name), _or([*some, _member([_matching(_ANYTHING), *others])]))
    return _any([_not(there), one])


def _value(value: str) -> Iterable[Message]:
    yield _text(exact=value)
    if value in _BOOLEANS:
        yield _boolean(_BOOLEANS[value])
    if (number := tokens.number(value)) is not None:
        yield value_pb2.ValueMatcher(double_match=number_pb2.DoubleMatcher(exact=number))


def _matching(regex: str) -> Message:
    return _text(safe_regex=regex_pb2.RegexMatcher(regex=regex))


def _text(**matcher: object) -> Message:
    return value_pb2.ValueMatcher(string_match=string_pb2.StringMatcher(**matcher))


def _boolean(value: bool) -> Message:
    return value_pb2.ValueMatcher(bool_match=value)


def _member(one: list[Message]) -> Message:
    return value_pb2.ValueMatcher(list_match=value_pb2.ListMatcher(one_of=_or(one)))


def _or(several: list[Message]) -> Message:
    if len(several) == 1:
        return several[0]
    return value_pb2.ValueMatcher(or_match=value_pb2.OrMatcher(value_matchers=several))


def _claim(issuer: str, names: tuple[str, ...], value: Message) -> Message:
    segments = [metadata_pb2.MetadataMatcher.PathSegment(key=key) for key in (issuer, *names)]
    return rbac_pb2.Permission(metadata=metadata_pb2.MetadataMatcher(filter=CLAIMS, path=segments, value=value))


def _not(one: Message) -> Message:
    return rbac_pb2.Permission(not_rule=one)


def _any(several: list[Message]) -> Message:
    return several[0] if len(several) == 1 else rbac_pb2.Permission(or_rules=rbac_pb2.Permission.Set(rules=several))


def _all(several: list[Message]) -> Message:
    if not several:
        return _ANY
    return several[0] if len(several) == 1 else rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=several))
