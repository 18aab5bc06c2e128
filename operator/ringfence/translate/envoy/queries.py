"""Conditions on parameters of the query as Envoy's permissions; the meaning is that of policy.queries.

RBAC knows no parameters. So they are asked of ``:path``, which holds the query and is always there, by regular
expressions of our own making: a person's words stand in them letter by letter. Envoy takes none whose program has more
than a hundred steps. So each asks one thing, and classes are of ASCII, since a query with anything else is refused.
"""

from collections.abc import Iterator
from typing import Final

from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from ringfence.model.requests import Asks, QueryCondition
from ringfence.model.resources import Action
from ringfence.policy.queries import ODD, SAME, beginnings
from ringfence.translate.envoy.messages import Message

_PATH: Final = ":path"
#: Characters: any, and any but some.
_ANY, _NO_MARK, _NO_AND = "[!-~]", "[!->@-~]", "[!-%'-~]"
_NO_END = "[!-%'-:<-~]"
#: A path and a query up to where a parameter begins: as all programs part them, and as some do.
_BEFORE, _BEFORE_SOME = rf"{_NO_MARK}*\?(?:{_ANY}*&)?", rf"{_NO_MARK}*\?(?:{_ANY}*[&;])?"
_AFTER, _AFTER_SOME = f"(?:&{_ANY}*)?", f"(?:[&;]{_ANY}*)?"


def permission(condition: QueryCondition, action: Action) -> Message:
    """A permission that is the requests for which the condition holds in a rule of this action."""
    name = _quoted(condition.parameter)
    given, empty = _asked(f"{_BEFORE}{name}={_NO_AND}+{_AFTER}"), _asked(f"{_BEFORE}{name}=?{_AFTER}")
    deny = action is Action.DENY
    match condition.test:
        case Asks.EXISTS:
            return _any(given, empty) if deny else given
        case Asks.ABSENT:
            return _not(given) if deny else _not(_any(given, empty))
    rest = f"{_NO_AND}*" if condition.test is Asks.PREFIX else ""
    has = _any(*(_asked(f"{_BEFORE}{name}={_quoted(each)}{rest}{_AFTER}") for each in condition.values))
    told = _not(has) if condition.test is Asks.NOT_IN else has
    return _any(_not(given), told) if deny else _all(given, told)


def unclear(condition: QueryCondition) -> list[Message]:
    """Permissions that together are the requests in which programs may not agree on the parameter."""
    name, alike = _quoted(condition.parameter), "".join(map(_spelt, condition.parameter))
    one = f"{_BEFORE_SOME}{alike}(?:={_NO_END}*)?"
    plain = _asked(f"{_BEFORE}{name}(?:={_NO_AND}*)?{_AFTER}")
    found = [
        _not(_asked(f"{_ANY}+")),
        _asked(f"{_BEFORE_SOME}{alike}\\[{_ANY}*"),
        *(_asked(f"{_BEFORE_SOME}{each}{_ANY}*") for each in _escaped(condition.parameter)),
        _asked(f"{one}[&;](?:{_ANY}*[&;])?{alike}(?:={_NO_END}*)?{_AFTER_SOME}"),
        _all(_asked(f"{one}{_AFTER_SOME}"), _not(plain)),
    ]
    if condition.values:
        found.append(_asked(f"{_BEFORE}{name}={_NO_AND}*[{ODD}]{_ANY}*"))
    return found


def _escaped(name: str) -> Iterator[str]:
    """A name as far as it is written before something that stands for other characters."""
    first = "|".join(
        "".join(f"[{each}{each.upper()}]" if each.isalpha() else each for each in begun) for begun in beginnings(name)
    )
    yield rf"(?:\+|%(?:{first}))"
    rest = "".join(f"(?:{_spelt(char)}" for char in name[1:]) + ")?" * len(name[1:])
    yield f"{_spelt(name[0])}{rest}[%+]"


def _spelt(char: str) -> str:
    """A character of a name, and what some programs take for the same."""
    if char in SAME:
        return r"[.\[-_]"
    return f"[{char.lower()}{char.upper()}]" if char.isalpha() else _quoted(char)


def _quoted(text: str) -> str:
    """The text as a regular expression (RE2)."""
    return "".join(char if char.isalnum() or char == "_" else f"\\{char}" for char in text)


def _asked(regex: str) -> Message:
    matcher = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=regex))
    return rbac_pb2.Permission(header=route_components_pb2.HeaderMatcher(name=_PATH, string_match=matcher))


def _not(one: Message) -> Message:
    return rbac_pb2.Permission(not_rule=one)


def _any(*several: Message) -> Message:
    return rbac_pb2.Permission(or_rules=rbac_pb2.Permission.Set(rules=several))


def _all(*several: Message) -> Message:
    return rbac_pb2.Permission(and_rules=rbac_pb2.Permission.Set(rules=several))
