"""A claim of a good token as a text that tells requests apart, in CEL; good tokens have a mark.

Every question is asked only of what is there and has the right type: an expression that fails tells nothing, and its
request counts with others.
"""

from typing import Final

from ringfence.model.tokens import path
from ringfence.translate.envoy.good import CLAIMS, MARKS

#: What a claim has that is missing, or has no value of its own, and what one has whose value is too long.
NONE, LONG = "''", "'-'"
_METADATA: Final = "metadata.filter_metadata"


def text(key: str, claim: str, longest: int) -> str:
    """The expression: the one value of a claim as rules compare it, if it has no more than ``longest`` characters.

    ``claim`` is a name or a path. A list of one value is that value. Numbers are exact where they are whole and within
    2^63; others have six digits.
    """
    where = f"{_METADATA}[{_quoted(CLAIMS)}][{_quoted(key)}]"
    asked = [_good(key)]
    for number, name in enumerate(path(claim)):
        # What stands on the way must be an object: of a list it could not be asked whether it has a name.
        asked += [f"type({where}) == map"] if number else []
        asked.append(f"{_quoted(name)} in {where}")
        where = f"{where}[{_quoted(name)}]"
    alone = f"size({where}) == 1 ? {_scalar(f'{where}[0]', longest)} : {NONE}"
    found = f"type({where}) == list ? ({alone}) : {_scalar(where, longest)}"
    return f"{' && '.join(asked)} ? ({found}) : {NONE}"


def _good(key: str) -> str:
    """A good token is there; as `tokens.permission` asks."""
    marks = f"{_METADATA}[{_quoted(MARKS)}]"
    left = f"{_METADATA}[{_quoted(CLAIMS)}]"
    there = " && ".join(f"{_quoted(each)} in {_METADATA}" for each in (MARKS, CLAIMS))
    return f"{there} && {_quoted(key)} in {marks} && {_quoted(key)} in {left}"


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
