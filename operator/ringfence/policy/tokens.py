"""What a rule about tokens means, said directly: the signature is the proxy's affair, the claims are looked at here.

A token that is missing, or not good, counts against the request (ADR 0181): an Allow does not match, a Deny does.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ringfence.model.requests import Request
from ringfence.model.resources import Action
from ringfence.model.tokens import AUTHORIZATION, DEEPEST, INSIDE, SPACED, Claims, TokenMatch, claim_at, name_of

#: Whole numbers below are doubles each, as proxies and JavaScript have them.
_EXACT: Final = 2.0**53
_NUMBER: Final = re.compile(r"-?[0-9]{1,17}(\.[0-9]{1,17})?(e[+-][0-9]{2,3})?")
_PART: Final = "[A-Za-z0-9_-]+"
_TOKEN: Final = rf"{_PART}\.{_PART}\.{_PART}"


def form(header: str) -> str:
    """What the whole header must look like, as a regular expression: the token and nothing beside it.

    A proxy finds a token among other words too, of which the program may take another for it.
    """
    return f"Bearer {_TOKEN}" if header == AUTHORIZATION else _TOKEN


def texts(name: str, value: Any) -> tuple[str, ...]:
    """The texts that a claim has: its own, or its members'. Objects have none; true is ``true``, 3.0 is ``3``."""
    if isinstance(value, list):
        return tuple(text for each in value if not isinstance(each, list) for text in _scalar(each))
    if isinstance(value, str) and name in SPACED:
        return tuple(word for word in value.split(" ") if word)
    return _scalar(value)


def _scalar(value: Any) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (str(value).lower(),)
    if isinstance(value, int | float):
        return (_of_number(float(value)),)
    return (value,) if isinstance(value, str) else ()


def _of_number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def number(text: str) -> float | None:
    """The number whose text this is, None where it is that of no number: ``03`` and ``1.50`` are none."""
    if _NUMBER.fullmatch(text) is None:
        return None
    return float(text) if _of_number(float(text)) == text else None


def claims(payload: Mapping[str, Any]) -> Claims:
    """The claims of a token's payload that have texts, and those inside others that a path can name."""
    found = {claim_at(names): texts(claim_at(names), value) for names, value in _leaves(payload, ())}
    return {name: each for name, each in found.items() if each}


def _leaves(payload: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in payload.items():
        names = *above, name
        if INSIDE in name:
            continue
        if not isinstance(value, dict):
            yield names, value
        elif len(names) < DEEPEST:
            yield from _leaves(value, names)


def good(match: TokenMatch, request: Request) -> Claims | None:
    """The claims of the good token of the issuer that a request brings; None without one."""
    found = request.tokens.get(match.issuer) if match.header else None
    sent = request.headers.get(match.header, ())
    if found is None or any(re.fullmatch(form(match.header), value) is None for value in sent):
        return None
    return found


def matches(match: TokenMatch, request: Request, action: Action) -> bool:
    """Whether a rule of this action names a request as far as its token goes."""
    deny = action is Action.DENY
    if not match.header:
        return deny
    found = good(match, request)
    if match.absent:
        return found is None
    if found is None:
        return deny
    return all(_claim(found.get(name, ()), values, deny=deny) for name, values in match.claims)


def _claim(found: tuple[str, ...], values: tuple[str, ...], *, deny: bool) -> bool:
    return (deny and not found) or not set(values).isdisjoint(found)


def missing(match: TokenMatch, request: Request) -> str:
    """What an Allow misses in the token of a request, in words; "" where it is all there."""
    name = name_of(match.issuer)
    if not match.header:
        return f"nobody declares the issuer {name}"
    found = good(match, request)
    if match.absent:
        return "" if found is None else f"the request has a token of {name}"
    if found is None:
        there = match.issuer in request.tokens
        return f"the token of {name} is not good" if there else f"the request has no token of {name}"
    return "; ".join(_missing(found, match.claims))


def lacking(match: TokenMatch, request: Request) -> str:
    """What a Deny takes for a match because it is not there, in words; "" where nothing is missing."""
    found = good(match, request)
    if not match.header or (found is None and not match.absent):
        return missing(match, request)
    asked = (name for name, _ in match.claims if found is not None and name not in found)
    return "; ".join(f"its token has no claim {name}" for name in asked)


def _missing(found: Claims, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> Iterable[str]:
    for name, values in wanted:
        if name not in found:
            yield f"its token has no claim {name}"
        elif set(values).isdisjoint(found[name]):
            yield f"its {name} is {', '.join(found[name])}"


def in_words(match: TokenMatch) -> str:
    """What a rule asks of the token: ``a token of corp with scope in payments.write``."""
    if match.absent:
        return f"no token of {name_of(match.issuer)}"
    said = " and ".join(f"{name} in {', '.join(values)}" for name, values in match.claims)
    return f"a token of {name_of(match.issuer)}" + (f" with {said}" if said else "")
