"""Checks a value against a schema and collects everything that is wrong with it, with the field and the fix.

The work is linear in what the schema allows: a list that is too long is refused before its items are looked at, and
what is not known is named, not walked.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from ringfence.api import schema, wording
from ringfence.model.errors import FieldError

#: A person mends a few at a time; a machine needs the first.
MAX_ERRORS: Final = 50


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
        """What was found, and how many more there are."""
        hidden = self.total - len(self.found)
        more = [FieldError("spec", f"{hidden} more errors are not shown", "mend these first")] if hidden else []
        return (*self.found, *more)


def check(node: schema.Node, value: Any, path: str, report: Report) -> Any:
    """The value with its defaults filled in; meaningless if anything was added to ``report``."""
    return _CHECKS[type(node)](node, value, path, report)


def known(value: Mapping[Any, Any], names: tuple[str, ...], path: str, report: Report) -> None:
    """Whether the object has no fields but these."""
    for name in value:
        if name not in names:
            _not_a_field(name, names, path, report)


def _wrong(node: schema.Node, value: object, path: str, report: Report) -> None:
    report.add(path, f"is {wording.described(value)}", f"give {wording.wanted(node)}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, which is written for Go, for Python: only the form of Unicode escapes differs."""
    return re.compile(re.sub(r"\\x\{([0-9a-f]{4})\}", r"\\u\1", pattern))


def _text(node: schema.Text, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, str):
        _wrong(node, value, path, report)
    elif len(value) > node.max_length:
        report.add(path, f"has {len(value)} characters", f"at most {node.max_length} are allowed")
    elif len(value) < node.min_length:
        report.add(path, "is empty", f"give {node.what}")
    elif _compiled(node.pattern).fullmatch(value) is None:
        better = node.misread(value) if node.misread is not None else ""
        report.add(path, f"{wording.shown(value)} is not {node.what}", better)
    else:
        _apply(node.rules, value, path, report)
    return value


def _integer(node: schema.Integer, value: Any, path: str, report: Report) -> Any:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        _wrong(node, value, path, report)
    elif not node.minimum <= value <= node.maximum:
        report.add(path, "is out of range", f"give {wording.wanted(node)}")
    return value


def _number(node: schema.Number, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _wrong(node, value, path, report)
    elif not node.minimum <= value <= node.maximum:
        report.add(path, "is out of range", f"give {wording.wanted(node)}")
    return value


def _choice(node: schema.Choice, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, str):
        _wrong(node, value, path, report)
    elif value not in node.values:
        same = [v for v in node.values if v.lower() == value.lower()]
        report.add(
            path, f"{wording.shown(value)} is not {wording.wanted(node)}", f"did you mean {same[0]}?" if same else ""
        )
    return value


def _flag(node: schema.Flag, value: Any, path: str, report: Report) -> Any:
    if value is not True:
        report.add(path, f"is {wording.described(value)}", "give true, or leave it out")
    return value


def _list(node: schema.ListOf, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, list):
        _wrong(node, value, path, report)
        return value
    if len(value) < node.min_items:
        few = "is empty" if not value else f"has {len(value)} of at least {node.min_items} entries"
        report.add(path, few, "list at least one" if node.min_items == 1 else f"list at least {node.min_items}")
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
            report.add(where, f"{wording.shown(value)} is taken by {path}[{first[value]}]", "each must be different")
        else:
            first[value] = index


def _map(node: schema.MapOf, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, Mapping):
        _wrong(node, value, path, report)
    elif not value:
        report.add(path, "is empty", "give at least one entry")
    elif len(value) > node.max_items:
        report.add(path, f"has {len(value)} entries", f"at most {node.max_items} are allowed")
    else:
        for name, item in value.items():
            where = f"{path}[{wording.key(name)}]"
            check(node.keys, name, where, report)
            check(node.values, item, where, report)
    return value


def _either(node: schema.Either, value: Any, path: str, report: Report) -> Any:
    if isinstance(value, Mapping) and node.detail is not None:
        return check(node.detail, value, path, report)
    if node.number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return check(node.number, value, path, report)
    if not isinstance(value, str):
        _wrong(node, value, path, report)
    elif node.number is not None and value.isascii() and value.isdigit() and len(value) <= 5:
        report.add(path, f"{wording.shown(value)} is a string", f"write the number without quotes: {int(value)}")
    else:
        check(node.word, value, path, report)
    return value


def _object(node: schema.Obj, value: Any, path: str, report: Report) -> Any:
    if not isinstance(value, Mapping):
        _wrong(node, value, path, report)
        return value
    before = report.total
    filled: dict[str, Any] = {}
    for name, item in value.items():
        field_ = node.by_name.get(name) if isinstance(name, str) else None
        if field_ is None:
            _unknown(node, name, path, report)
        else:
            filled[name] = _given(field_, item, f"{path}.{name}", report)
    for field_ in node.fields:
        if field_.name in value:
            continue
        if field_.required:
            report.add(f"{path}.{field_.name}", "is missing", f"give {wording.wanted(field_.node)}")
        elif field_.default is not schema.NO_DEFAULT:
            filled[field_.name] = check(field_.node, field_.default, f"{path}.{field_.name}", report)
    if report.total == before:
        _apply(node.rules, filled, path, report)
    return filled


def _given(field_: schema.Field, value: Any, path: str, report: Report) -> Any:
    """As check, but a field with nothing in it that may be left out is told so."""
    empty = isinstance(field_.node, schema.ListOf | schema.MapOf) and value in ([], {})
    if (value is None or empty) and field_.optional:
        something = "at least one entry" if empty else wording.wanted(field_.node)
        report.add(path, "is empty" if empty else "is null", f"leave it out or give {something}")
        return value
    return check(field_.node, value, path, report)


def _unknown(node: schema.Obj, name: object, path: str, report: Report) -> None:
    hint = node.hints.get(name) if isinstance(name, str) else None
    if hint is not None:
        report.add(f"{path}.{name}", hint.message, hint.fix)
    else:
        _not_a_field(name, tuple(node.by_name), path, report)


def _not_a_field(name: object, names: tuple[str, ...], path: str, report: Report) -> None:
    """Report a field that does not exist, with the nearest that does; cheap however many there are."""
    if report.full:
        report.add(path, "is not a field")
        return
    where = f"{path}.{wording.key(name)}" if path else wording.key(name)
    report.add(where, "is not a field", wording.meant(name, names))


def _apply(rules: tuple[schema.Rule, ...], value: Any, path: str, report: Report) -> None:
    """The first rule that is broken: those after it may rest on it."""
    for rule in rules:
        complaint = rule.test(value)
        if complaint is not None:
            report.add(f"{path}.{complaint.at}" if complaint.at else path, complaint.message, complaint.fix)
            return


_CHECKS: Final[Mapping[type[schema.Node], Callable[[Any, Any, str, Report], Any]]] = {
    schema.Text: _text,
    schema.Integer: _integer,
    schema.Number: _number,
    schema.Choice: _choice,
    schema.Flag: _flag,
    schema.ListOf: _list,
    schema.MapOf: _map,
    schema.Either: _either,
    schema.Obj: _object,
}
