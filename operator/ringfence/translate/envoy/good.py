"""Which tokens are good: told once for each request and issuer, before rules and limits are asked.

jwt_authn looks at the signature, issuer, audience and times, and leaves claims and head of what it takes. What it
does not look at is asked here by an expression (CEL); where all of it is true a mark is left, and rules and limits ask
for the mark. An expression that fails is not true, so that it leaves none.
"""

from collections.abc import Iterable
from typing import Final

from cel.expr import syntax_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.http.set_metadata.v3 import set_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.type.matcher.v3 import regex_pb2
from xds.core.v3 import extension_pb2 as xds_extension_pb2
from xds.type.matcher.v3 import cel_pb2, http_inputs_pb2, matcher_pb2
from xds.type.v3 import cel_pb2 as cel_type_pb2

from ringfence.model.tokens import Issuer
from ringfence.policy import tokens
from ringfence.translate.envoy import expressions, messages
from ringfence.translate.envoy.messages import Message

#: Where jwt_authn leaves claims, by the key of the issuer, and where the marks are.
CLAIMS, MARKS = "envoy.filters.http.jwt_authn", "ringfence.tokens"
#: What signs with a key of which the other half is public. A set that is fetched may hold a secret all the same, and a
#: proxy would take it for a key: whoever reads the set could then make tokens.
PUBLIC: Final = (
    *("ES256", "ES384", "ES512", "EdDSA"),
    *("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
)
#: Seconds before which a token must end. From 2^63 on Envoy's bound of the lifetime makes numbers below zero, which
#: pass; whole numbers are exact up to here.
BEFORE: Final = 2.0**53
#: What the head of a token names that must be understood (RFC 7515 section 4.1.11). A proxy does not look at it.
CRITICAL: Final = "crit"
#: Where signatures are put, by the header of their tokens, for their length to be asked.
SIGNATURES: Final = "ringfence.signatures"
#: What signs with an RSA key, and the characters of the signature of one of 2048 bits (base64url of 256 bytes): a
#: signature is as long as its key (RFC 8017 section 8), and verifiers take no other.
RSA: Final = tuple(each for each in PUBLIC if each.startswith(("PS", "RS")))
LONG: Final = 342
_Cel: Final = syntax_pb2.Expr
_Matcher: Final = matcher_pb2.Matcher


def head(key: str) -> str:
    """Where jwt_authn leaves the head of a token that it takes."""
    return f"head {key.removeprefix(':')}"


def marking(key: str, issuer: Issuer) -> Message:
    """The filter, behind jwt_authn, that leaves the mark of an issuer."""
    # Beside the marks of others, which would else stay alone.
    mark = set_metadata_pb2.Metadata(metadata_namespace=MARKS, value=messages.struct({key: True}), allow_overwrite=True)
    skip = _Matcher.OnMatch(action=_extension("skip", skip_action_pb2.SkipFilter()))
    unless = _Matcher.MatcherList.Predicate(not_matcher=_is_true(_good(key, issuer)))
    tree = _Matcher(
        matcher_list=_Matcher.MatcherList(matchers=[_Matcher.MatcherList.FieldMatcher(predicate=unless, on_match=skip)])
    )
    marks = messages.extension(
        extension_pb2.TypedExtensionConfig,
        "envoy.filters.http.set_metadata",
        set_metadata_pb2.Config(metadata=[mark]),
    )
    only = extension_matcher_pb2.ExtensionWithMatcher(xds_matcher=tree, extension_config=marks)
    return messages.extension(hcm_pb2.HttpFilter, f"{MARKS}.{key}", only)


def signatures(issuers: Iterable[Issuer]) -> Iterable[Message]:
    """The filter, before the marks, that puts signatures where their length can be asked; none where nobody fetches.

    Expressions know the length of a text and no parts of it; nothing else in a proxy sees how long a fetched key is.
    """
    last = regex_pb2.RegexMatchAndSubstitute(pattern=regex_pb2.RegexMatcher(regex=r"^.*\."), substitution="")
    made = header_to_metadata_pb2.Config()
    for header in sorted({issuer.header for issuer in issuers if issuer.fetched}):
        pair = header_to_metadata_pb2.Config.KeyValuePair(
            metadata_namespace=SIGNATURES, key=header, regex_value_rewrite=last
        )
        made.request_rules.append(header_to_metadata_pb2.Config.Rule(header=header, on_header_present=pair))
    if made.request_rules:
        yield messages.extension(hcm_pb2.HttpFilter, SIGNATURES, made)


def _is_true(expression: Message) -> Message:
    predicate = _Matcher.MatcherList.Predicate
    told = cel_type_pb2.CelExpression(cel_expr_parsed=syntax_pb2.ParsedExpr(expr=expression))
    single = predicate.SinglePredicate(
        input=_extension("request", http_inputs_pb2.HttpAttributesCelMatchInput()),
        custom_match=_extension("envoy.matching.matchers.cel_matcher", cel_pb2.CelMatcher(expr_match=told)),
    )
    return predicate(single_predicate=single)


def _extension(name: str, config: Message) -> Message:
    return messages.extension(xds_extension_pb2.TypedExtensionConfig, name, config)


def _good(key: str, issuer: Issuer) -> Message:
    """Every question is asked only of what is there and has the right type."""
    left = _at(_every(), CLAIMS)
    parts = [_in(CLAIMS, _every()), _in(key, left), _in(head(key), left)]
    return _all([*parts, *(asked for asked, _ in _questions(key, issuer))])


def _every() -> Message:
    return _select(_Cel(ident_expr=_Cel.Ident(name="metadata")), "filter_metadata")


def _questions(key: str, issuer: Issuer) -> Iterable[tuple[Message, str]]:
    """What must be true of a token that jwt_authn takes, in this order, and in words that it is not.

    The header comes last: when a request is written down it may have been taken out.
    """
    left = _at(_every(), CLAIMS)
    payload, top = _at(left, key), _at(left, head(key))
    yield from ((asked, "its end (exp) is no moment") for asked in _ending(payload))
    yield from _issued(payload, issuer)
    yield from _signed(top)
    if issuer.fetched:
        yield _long(top, issuer.header), "its RSA key has less than 2048 bits"
    yield from ((asked, "the header holds more than the token") for asked in _alone(issuer.header))


def why_not(key: str, issuer: Issuer, told: str) -> str:
    """The expression, as text, that says why a token that was brought has no mark; it fails where there is no reason.

    ``told`` is where jwt_authn says what is wrong with one that it does not take. Nothing is decided by it.
    """
    left = _at(_every(), CLAIMS)
    said = _select(_at(left, told), "message")
    marked = _all([_in(MARKS, _every()), _in(key, _at(_every(), MARKS))])
    why = said
    for asked, words in reversed(list(_questions(key, issuer))):
        why = _call("_?_:_", asked, why, _text(words))
    taken = _all([_in(key, left), _call("!_", marked)])
    return expressions.text(_call("_?_:_", taken, why, said))


def _alone(header: str) -> Iterable[Message]:
    """Nothing is beside the token in its header; several values are joined with commas."""
    headers = _select(_Cel(ident_expr=_Cel.Ident(name="request")), "headers")
    yield _in(header, headers)
    yield _call("matches", _text(f"^{tokens.form(header)}$"), target=_at(headers, header))


def _ending(payload: Message) -> Iterable[Message]:
    """It has an end that is one."""
    end = _at(payload, "exp")
    yield _in("exp", payload)
    yield from _is_number(end)
    yield _call("_>=_", end, _number(0.0))
    yield _call("_<_", end, _number(BEFORE))


def _issued(payload: Message, issuer: Issuer) -> Iterable[tuple[Message, str]]:
    """It says no moment at which it was issued, or one that has come, from which on it lasts no longer than it may."""
    missing = _call("!_", _in("iat", payload))
    moment = _at(payload, "iat")
    now = _call("double", _call("int", _select(_Cel(ident_expr=_Cel.Ident(name="request")), "time")))
    come = _call("_<=_", moment, _call("_+_", now, _number(issuer.skew)))
    lasts = _call("_<=_", _call("_-_", _at(payload, "exp"), moment), _number(issuer.max_lifetime))
    yield from ((_call("_||_", missing, each), "iat is no moment") for each in _is_number(moment))
    yield _call("_||_", missing, come), "iat is in the future"
    yield (
        _call("_||_", missing, lasts),
        f"from iat to exp it lasts longer than maxLifetime ({issuer.max_lifetime} seconds)",
    )


def _signed(top: Message) -> Iterable[tuple[Message, str]]:
    """By a key of which the other half is public, and without extensions that must be understood, whatever they are."""
    for asked in (_in("alg", top), _call("@in", _at(top, "alg"), _texts(PUBLIC))):
        yield asked, "its alg is none of a public key"
    yield _call("!_", _in(CRITICAL, top)), "its head has crit"


def _long(top: Message, header: str) -> Message:
    """It was not signed by an RSA key, or by one that is not short."""
    lengths = _at(_every(), SIGNATURES)
    there = [_in(SIGNATURES, _every()), _in(header, lengths)]
    least = _Cel(const_expr=syntax_pb2.Constant(int64_value=LONG))
    long = _call("_>=_", _call("size", _at(lengths, header)), least)
    return _call("_||_", _call("!_", _call("@in", _at(top, "alg"), _texts(RSA))), _all([*there, long]))


# --- CEL --------------------------------------------------------------------------------------------------------------


def _all(parts: list[Message]) -> Message:
    """In halves: messages within each other are read a hundred deep at most. The first that is false ends it."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return _call("_&&_", _all(parts[:half]), _all(parts[half:]))


def _is_number(value: Message) -> Iterable[Message]:
    yield _call("_==_", _call("type", value), _Cel(ident_expr=_Cel.Ident(name="double")))


def _in(name: str, where: Message) -> Message:
    return _call("@in", _text(name), where)


def _at(where: Message, name: str) -> Message:
    return _call("_[_]", where, _text(name))


def _select(where: Message, name: str) -> Message:
    return _Cel(select_expr=_Cel.Select(operand=where, field=name))


def _call(function: str, *arguments: Message, target: Message | None = None) -> Message:
    return _Cel(call_expr=_Cel.Call(function=function, args=arguments, target=target))


def _text(value: str) -> Message:
    return _Cel(const_expr=syntax_pb2.Constant(string_value=value))


def _texts(values: Iterable[str]) -> Message:
    return _Cel(list_expr=_Cel.CreateList(elements=map(_text, values)))


def _number(value: float) -> Message:
    return _Cel(const_expr=syntax_pb2.Constant(double_value=value))
