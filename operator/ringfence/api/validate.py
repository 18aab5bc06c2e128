"""Checks a value against a schema and collects everything that is wrong with it, with the field and the fix.

The work is linear in what the schema allows: a list that is too long is refused before its items are looked at, and
what is not known is named, not walked.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from ringfence.api import schema
from ringfence.model.errors import FieldError

#: A person mends a few at a time; a machine needs the first.
MAX_ERRORS: Final = 50
_SHOWN_LENGTH: Final = 60


@dataclass(slots=True)
class Report:
    """Collects errors; those beyond MAX_ERRORS are counted only."""

    found: list[FieldError] = field(default_factory=list)
    total: int = 0

    def add(self, path: str, message: str, fix: str = "") -> None:
        """Record one thing that is wrong with the field at ``path``."""
        self.total += 1
        if not self.full:
            self.found.append(FieldError(path, message, fix))

    @property
    def full(self) -> bool:
        """Whether further errors will only be counted."""
        return len(self.found) >= MAX_ERRORS

    def errors(self) -> tuple[FieldError, ...]:
        """What was found, sorted by path; the last says how many more there are."""
        hidden = self.total - len(self.found)
        more = [FieldError("spec", f"{hidden} more errors are not shown", "mend these first")] if hidden else []
        return (*sorted(self.found), *more)


def check(node: schema.Node, value: Any, path: str, report: Report) -> Any:
    """The value with its defaults filled in; meaningless if anything was added to ``report``."""
    return _CHECKS[type(node)](node, value, path, report)


def shown(value: object) -> str:
    """A value as it can safely stand in a message: JSON, ASCII, cut."""
    if isinstance(value, int) and abs(value) >= 10**_SHOWN_LENGTH:
        return "a very large one"
    if isinstance(value, str):
        value = value[:_SHOWN_LENGTH]
    text = json.dumps(value) if isinstance(value, str | int | float | None) else describe(value)
    return text if len(text) < _SHOWN_LENGTH else text[: _SHOWN_LENGTH - 1] + "…"


def describe(value: object) -> str:
    """What kind of value it is, in words."""
    for kinds, words in _WORDS:
        if isinstance(value, kinds):
            return words
    return f"a {type(value).__name__}"


_WORDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "null"),
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "a string"),
    (Mapping, "an object"),
    ((list, tuple), "a list"),
)


def _wrong_type(report: Report, path: str, wanted: str, value: object) -> None:
    if value is None:
        report.add(path, "is null", f"leave it out or give {wanted}")
    else:
        got = describe(value) if isinstance(value, Mapping | list | tuple) else f"{describe(value)}, {shown(value)}"
        report.add(path, f"is {got}", f"give {wanted}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, which is written for Go, for Python: only the form of Unicode escapes differs."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]{4})\}", r"\\u\1", pattern))


def _text(node: schema.Text, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, str):
        _wrong_type(report, path, f"a string: {node.what}", value)
    elif len(value) > node.max_length:
        report.add(path, f"has {len(value)} characters", f"at most {node.max_length} are allowed")
    elif len(value) < node.min_length:
        report.add(path, "is empty" if not value else "is too short", f"give {node.what}")
    elif _compiled(node.pattern).fullmatch(value) is None:
        report.add(path, f"{shown(value)} is not {node.what}")
    else:
        _apply(node.rules, value, path, report)
    return value


def _integer(node: schema.Integer, value: Any, path: str, report: Report) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong_type(report, path, f"a whole number from {node.minimum} to {node.maximum}", value)
    elif not node.minimum <= value <= node.maximum:
        report.add(path, "is out of range", f"give a whole number from {node.minimum} to {node.maximum}")
    return value


def _choice(node: schema.Choice, value: Any, path: str, report: Report) -> Any:
    listed = ", ".join(node.values)
    if not isinstance(value, str):
        _wrong_type(report, path, f"one of {listed}", value)
    elif value not in node.values:
        same = [v for v in node.values if v.lower() == value.lower()]
        report.add(path, f"{shown(value)} is not one of {listed}", f"write {same[0]}" if same else "")
    return value


def _flag(node: schema.Flag, value: Any, path: str, report: Report) -> Any:
    if value is not True:
        _wrong_type(report, path, "true, or leave it out", value)
    return value


def _list(node: schema.ListOf, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, list):
        _wrong_type(report, path, "a list", value)
        return value
    if len(value) < node.min_items:
        report.add(path, "is empty", "leave it out or list at least one")
        return value
    if len(value) > node.max_items:
        report.add(path, f"has {len(value)} entries", f"at most {node.max_items} are allowed")
        return value
    before = report.total
    filled = [check(node.items, item, f"{path}[{index}]", report) for index, item in enumerate(value)]
    if report.total == before and (node.key or node.unique):
        _distinct(node, filled, path, report)
    return filled


def _distinct(node: schema.ListOf, items: list[Any], path: str, report: Report) -> None:
    first: dict[Any, int] = {}
    for index, item in enumerate(items):
        value = item[node.key] if node.key else item
        if value in first:
            where = f"{path}[{index}].{node.key}" if node.key else f"{path}[{index}]"
            report.add(where, f"{shown(value)} is taken by {path}[{first[value]}]", "each must be different")
        else:
            first[value] = index


def _map(node: schema.MapOf, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, Mapping):
        _wrong_type(report, path, "an object of strings", value)
        return value
    if not value:
        report.add(path, "is empty", "leave it out or give at least one entry")
    elif len(value) > node.max_items:
        report.add(path, f"has {len(value)} entries", f"at most {node.max_items} are allowed")
    else:
        for key, item in value.items():
            where = f"{path}[{key}]" if isinstance(key, str) and len(key) <= node.keys.max_length else f"{path}[…]"
            check(node.keys, key, where, report)
            check(node.values, item, where, report)
    return value


def _either(node: schema.Either, value: Any, path: str, report: Report) -> Any:
    if isinstance(value, Mapping) and node.detail is not None:
        return check(node.detail, value, path, report)
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and len(value) <= 5:
            report.add(path, f"{shown(value)} is a string", f"write the number without quotes: {int(value)}")
            return value
        return check(node.word, value, path, report)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return check(node.number, value, path, report)
    _wrong_type(report, path, "a number or a name" if node.detail is None else "a number, a name or an object", value)
    return value


def _object(node: schema.Obj, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, Mapping):
        _wrong_type(report, path, "an object", value)
        return value
    before = report.total
    filled: dict[str, Any] = {}
    for name, item in value.items():
        known = node.by_name.get(name) if isinstance(name, str) else None
        if known is None:
            _unknown(node, name, path, report)
        else:
            filled[name] = check(known.node, item, f"{path}.{name}", report)
    for known in node.fields:
        if known.name in value:
            continue
        if known.required:
            report.add(f"{path}.{known.name}", "is missing", f"give {_wanted(known.node)}")
        elif known.default is not schema.NO_DEFAULT:
            filled[known.name] = check(known.node, known.default, f"{path}.{known.name}", report)
    if report.total == before:
        _apply(node.rules, filled, path, report)
    return filled


def _wanted(node: schema.Node) -> str:
    match node:
        case schema.Text():
            return node.what
        case schema.Choice():
            return f"one of {', '.join(node.values)}"
        case schema.Integer():
            return f"a whole number from {node.minimum} to {node.maximum}"
        case schema.ListOf():
            return "a list"
        case _:
            return "an object"


def _unknown(node: schema.Obj, name: object, path: str, report: Report) -> None:
    hint = node.hints.get(name) if isinstance(name, str) else None
    if hint is not None:
        report.add(f"{path}.{name}", hint.message, hint.fix)
    else:
        not_a_field(name, tuple(node.by_name), path, report)


def known(value: Mapping[Any, Any], names: tuple[str, ...], path: str, report: Report) -> None:
    """Whether the object has no fields but these."""
    for name in value:
        if name not in names:
            not_a_field(name, names, path, report)


def not_a_field(name: object, names: tuple[str, ...], path: str, report: Report) -> None:
    """Report a field that does not exist, with the nearest that does; cheap however many there are."""
    if report.full:
        report.add(path, "is not a field")
        return
    near = nearest(name, names) if isinstance(name, str) else ""
    where = f"{path}.{key(name)}" if path else key(name)
    report.add(where, "is not a field", f"did you mean {near}?" if near else f"known fields: {', '.join(names)}")


def key(name: object) -> str:
    """The name of a field as it can safely stand in a path."""
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name) else shown(name)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """The known name that ``name`` was probably meant to be, "" when none is near."""
    if len(name) > 63:
        return ""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else ""


def _apply(rules: tuple[schema.Rule, ...], value: Any, path: str, report: Report) -> None:
    for rule in rules:
        complaint = rule.test(value)
        if complaint is not None:
            report.add(f"{path}.{complaint.at}" if complaint.at else path, complaint.message, complaint.fix)


_CHECKS: Final[Mapping[type[schema.Node], Callable[[Any, Any, str, Report], Any]]] = {
    schema.Text: _text,
    schema.Integer: _integer,
    schema.Choice: _choice,
    schema.Flag: _flag,
    schema.ListOf: _list,
    schema.MapOf: _map,
    schema.Either: _either,
    schema.Obj: _object,
}
