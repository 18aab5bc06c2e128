"""What records leave out of requests, and rules without what is about that."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.tokens import name_of

#: What rules can say of requests, and the value that says nothing.
_SAYS: Final[tuple[tuple[str, Any], ...]] = tuple((each.name, each.default) for each in fields(Requests))
#: What of it every record of a request has, but for the host; and those that have its headers.
BARE: Final = frozenset({"http"})
HEADERS: Final = frozenset({"http", "when"})


def as_bytes(said: Requests) -> Requests:
    """Calls of gRPC are told by a header. Without any, what has the path and method of one is taken for one."""
    return replace(said, http=tuple(replace(match, grpc=False) for match in said.http))


def told(said: Requests, has: frozenset[str], *, host: bool) -> Requests | None:
    """What a rule says of what the record has; None for nothing."""
    http = said.http if host else tuple(replace(match, hosts=()) for match in said.http)
    if any(match == HttpMatch() for match in http):
        http = ()
    changed: dict[str, Any] = {"http": http, **{name: nothing for name, nothing in _SAYS if name not in has}}
    found: Requests = replace(said, **changed)
    return found if any(getattr(found, name) != nothing for name, nothing in _SAYS) else None


def further(stated: Iterable[Requests]) -> bool:
    """Whether rules ask for more than method, path, host and headers."""
    return any(getattr(each, name) != nothing for each in stated for name, nothing in _SAYS if name not in HEADERS)


def missing(stated: Iterable[Requests], has: frozenset[str]) -> list[str]:
    """What rules ask of requests, but for the host, that a record has not, in words."""
    rules = list(stated)
    asked = (name for name, nothing in _SAYS if any(getattr(each, name) != nothing for each in rules))
    found = {name: _word(name, rules) for name in asked if name not in has}
    if "when" not in has and any(match.grpc for each in rules for match in each.http):
        found["when"] = _headers(rules)
    return list(found.values())


def _word(name: str, rules: Iterable[Requests]) -> str:
    match name:
        case "when":
            return _headers(rules)
        case "query":
            return f"the query ({_names(condition.parameter for each in rules for condition in each.query)})"
        case "times":
            return "the time"
        case "token":
            return f"the token of {_names(name_of(each.token.issuer) for each in rules if each.token is not None)}"
        case _:
            return "something else"


def _headers(rules: Iterable[Requests]) -> str:
    named = [(each.when, any(match.grpc for match in each.http)) for each in rules]
    headers = [condition.header for when, _ in named for condition in when]
    return f"headers ({_names([*headers, *('content-type' for _, grpc in named if grpc)])})"


def _names(several: Iterable[str]) -> str:
    return ", ".join(sorted(set(several)))


def listed(words: Sequence[str]) -> str:
    """Several things in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
