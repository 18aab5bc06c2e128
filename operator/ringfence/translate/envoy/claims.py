"""A claim of a good token as a text that tells requests apart, in CEL; what a good token is, policy.tokens says.

jwt_authn has left the claims of tokens whose signature, issuer, audience and times are good. Every question is asked
only of what is there and has the right type: an expression that fails tells nothing, and its request counts with
others.
"""

from typing import Final

from ringfence.model.tokens import Issuer
from ringfence.policy import tokens

#: Where jwt_authn leaves claims, by the key of the issuer.
CLAIMS: Final = "envoy.filters.http.jwt_authn"
#: What signs with a key of which the other half is public. A set that is fetched may hold a secret all the same, and a
#: proxy would take it for a key: whoever reads the set could then make tokens.
PUBLIC: Final = (
    *("ES256", "ES384", "ES512", "EdDSA"),
    *("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
)
#: Seconds before which a token must end. From 2^63 on Envoy's bound of the lifetime makes numbers below zero, which
#: pass; whole numbers are exact up to here.
BEFORE: Final = 2.0**53
#: What a claim has that is missing, or has no value of its own, and what one has whose value is too long.
NONE, LONG = "''", "'-'"
_METADATA: Final = "metadata.filter_metadata"


def text(key: str, issuer: Issuer, claim: str, longest: int) -> str:
    """The expression: the one value of a claim as rules compare it, if it has no more than ``longest`` characters.

    A list of one value is that value. Numbers are exact where they are whole and within 2^63; others have six digits.
    """
    payload = f"{_METADATA}[{_quoted(CLAIMS)}][{_quoted(key)}]"
    value = f"{payload}[{_quoted(claim)}]"
    alone = f"size({value}) == 1 ? {_scalar(f'{value}[0]', longest)} : {NONE}"
    found = f"type({value}) == list ? ({alone}) : {_scalar(value, longest)}"
    return f"{_good(key, issuer)} && {_quoted(claim)} in {payload} ? ({found}) : {NONE}"


def head(key: str) -> str:
    """Where jwt_authn leaves the head of a good token whose key it has fetched."""
    return f"head {key.removeprefix(':')}"


def _good(key: str, issuer: Issuer) -> str:
    """A good token is there, and nothing beside it in its header; the same as `tokens.permission` asks."""
    header = f"request.headers[{_quoted(issuer.header)}]"
    alone = f"{header}.matches({_quoted(f'^{tokens.form(issuer.header)}$')})"
    left = f"{_METADATA}[{_quoted(CLAIMS)}]"
    there = f"{_quoted(CLAIMS)} in {_METADATA} && {_quoted(key)} in {left}"
    end = f"{left}[{_quoted(key)}]['exp']"
    ends = f"'exp' in {left}[{_quoted(key)}] && type({end}) == double && {end} >= 0.0 && {end} < {BEFORE:.1f}"
    signed = f" && {_signed(left, key)}" if issuer.fetched else ""
    return f"{_quoted(issuer.header)} in request.headers && {alone} && {there} && {ends}{signed}"


def _signed(left: str, key: str) -> str:
    """By a key of which the other half is public."""
    where = _quoted(head(key))
    ways = ", ".join(map(_quoted, PUBLIC))
    return f"{where} in {left} && 'alg' in {left}[{where}] && {left}[{where}]['alg'] in [{ways}]"


def _scalar(value: str, longest: int) -> str:
    short = f"size({value}) > {longest} ? {LONG} : {value}"
    whole = f"double(int({value})) == {value} ? int({value}) : {value}"
    return (
        f"(type({value}) == string ? ({short}) : type({value}) == double ? ({whole}) :"
        f" type({value}) == bool ? {value} : {NONE})"
    )


def _quoted(value: str) -> str:
    """As a literal: printable ASCII, of which only these two mean something there."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
