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


def _good(key: str, issuer: Issuer) -> str:
    """A good token is there, and nothing beside it in its header."""
    header = f"request.headers[{_quoted(issuer.header)}]"
    alone = f"{header}.matches({_quoted(f'^{tokens.form(issuer.header)}$')})"
    there = f"{_quoted(CLAIMS)} in {_METADATA} && {_quoted(key)} in {_METADATA}[{_quoted(CLAIMS)}]"
    return f"{_quoted(issuer.header)} in request.headers && {alone} && {there}"


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
