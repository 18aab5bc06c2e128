"""Reads YAML and JSON into plain values with their positions, and refuses what would be read as something else.

A key given twice means that one of the two is ignored, an alias can make a small file a huge one: both are errors here.
Everything is bounded: nesting, and what a reader of the values may still refuse by size.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NoReturn

import yaml

from ringfence.cli import scalars
from ringfence.cli.positions import Position
from ringfence.model.errors import RingfenceError

MAX_DEPTH: Final = 64

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS: Final = "tag:yaml.org,2002:"
_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class Unreadable(RingfenceError):
    """Text that is not YAML or JSON, or that Ringfence does not read; ``line`` from 1."""

    def __init__(self, line: int, message: str, fix: str = "") -> None:
        self.line = line
        self.message = message
        self.fix = fix
        super().__init__(f"line {line}: {message}" + (f" ({fix})" if fix else ""))


@dataclass(frozen=True)
class Read:
    """One document: its value, its length in characters, and how to find its positions (only errors need them)."""

    value: Any
    size: int
    locate: Callable[[], Position]

    @cached_property
    def position(self) -> Position:
        return self.locate()


def documents(text: str, *, json_only: bool = False) -> Iterator[Read]:
    """The documents in a text, empty ones left out. Raises Unreadable when it gets to what cannot be read.

    ``json_only``: nothing but JSON is expected (the file's name says so).
    """
    if json_only or text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}:
        try:
            yield from list(_json(text.lstrip("\ufeff")))
        except json.JSONDecodeError as error:
            if json_only:
                raise Unreadable(error.lineno, f"is not JSON: {error.msg[0].lower()}{error.msg[1:]}") from error
        else:
            return
    for value, position, size in _Events(text).documents():
        yield Read(value, size, _found(position))


def _found(position: Position) -> Callable[[], Position]:
    return lambda: position


# --- JSON ----------------------------------------------------------------------------------------------------------


class _Refused(ValueError):
    pass


def _json(text: str) -> Iterator[Read]:
    decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_int=_int, parse_float=_float, parse_constant=_constant)
    start = _skip(text, 0)
    while start < len(text):
        line = text.count("\n", 0, start) + 1
        try:
            value, end = decoder.raw_decode(text, start)
        except _Refused as error:
            # Told again by the reader that knows lines; what it does not mind stays refused.
            list(_Events(_as_yaml(text)).documents())
            raise Unreadable(line, str(error)) from error
        except RecursionError as error:
            raise Unreadable(line, "is nested too deeply", f"at most {MAX_DEPTH} levels are read") from error
        _check_depth(value, line)
        if value is not None:
            yield Read(value, end - start, _json_locator(text[start:end], line))
        start = _skip(text, end)


def _skip(text: str, start: int) -> int:
    while start < len(text) and text[start] in " \t\r\n":
        start += 1
    return start


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"key {twice[:80]!r} is given twice")
    return found


def _constant(word: str) -> NoReturn:
    raise _Refused(f"{word} is not a number that JSON can carry")


def _int(word: str) -> int:
    return int(_bounded(word))


def _float(word: str) -> float:
    value = scalars.resolve(_bounded(word))
    return float(value) if isinstance(value, int | float) else _constant(word)


def _bounded(word: str) -> str:
    try:
        scalars.resolve(word)
    except ValueError as error:
        raise _Refused(str(error)) from error
    return word


def _check_depth(value: Any, line: int) -> None:
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Unreadable(line, "is nested too deeply", f"at most {MAX_DEPTH} levels are read")
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, dict | list)
        ]


def _json_locator(text: str, line: int) -> Callable[[], Position]:
    """Positions are looked for only when an error needs one: JSON is YAML but for tabs and a few escapes."""

    def locate() -> Position:
        try:
            return next((position for _, position, _ in _Events(_as_yaml(text), line).documents()), Position(line))
        except Unreadable:
            return Position(line)

    return locate


def _as_yaml(text: str) -> str:
    """JSON that YAML can read: its tabs stand between tokens only, and YAML knows no surrogates."""
    return _SURROGATE.sub("_", text.replace("\t", " "))


# --- YAML ----------------------------------------------------------------------------------------------------------


class _Events:
    """Builds values from the parser's events, since its nodes would follow aliases first and let us look later."""

    def __init__(self, text: str, first_line: int = 1) -> None:
        self._text = text
        self._events = yaml.parse(text, Loader=_LOADER)
        self._offset = first_line

    def documents(self) -> Iterator[tuple[Any, Position, int]]:
        """(value, position, length in characters) of each document that is not empty."""
        while True:
            event = self._next()
            if isinstance(event, yaml.StreamEndEvent):
                return
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            first = self._next()
            value, position = self._node(first, 0)
            end = self._next()
            if value is not None:
                yield value, position, end.end_mark.index - first.start_mark.index

    def _next(self) -> Any:
        try:
            return next(self._events)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line if mark else 0
            fix = "indent with spaces, not with tabs" if self._tabbed(line) else ""
            message = f"is not YAML: {error.problem or 'cannot be read'}"
            raise Unreadable(line + self._offset, message, fix) from error
        except yaml.YAMLError as error:
            reason = getattr(error, "reason", None) or "cannot be read"
            raise Unreadable(self._offset, f"is not YAML: {reason}") from error

    def _tabbed(self, line: int) -> bool:
        """Whether a line (from 0) begins with a tab."""
        lines = self._text.splitlines()
        indent = lines[line][: -len(lines[line].lstrip()) or None] if line < len(lines) else ""
        return "\t" in indent

    def _node(self, event: Any, depth: int) -> tuple[Any, Position]:
        line = event.start_mark.line + self._offset
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(line, f"alias *{event.anchor} is not read", "write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, line), Position(line)
        if depth >= MAX_DEPTH:
            raise Unreadable(line, "is nested too deeply", f"at most {MAX_DEPTH} levels are read")
        if event.tag not in {None, "!", _TAGS + "map", _TAGS + "seq"}:
            raise Unreadable(line, f"tag {event.tag[:80]!r} is not read", "leave the tag out")
        return self._mapping(line, depth) if isinstance(event, yaml.MappingStartEvent) else self._sequence(line, depth)

    def _sequence(self, line: int, depth: int) -> tuple[list[Any], Position]:
        values: list[Any] = []
        children: dict[str | int, Position] = {}
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            value, children[len(values)] = self._node(event, depth + 1)
            values.append(value)
        return values, Position(line, children)

    def _mapping(self, line: int, depth: int) -> tuple[dict[str, Any], Position]:
        values: dict[str, Any] = {}
        children: dict[str | int, Position] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, at = self._key(event), event.start_mark.line + self._offset
            if key in values:
                first = children[key].line
                fix = "keep one of the two" + ("" if depth else ", or put --- between two documents")
                raise Unreadable(at, f"key {key[:80]!r} is given twice (first in line {first})", fix)
            value, position = self._node(self._next(), depth + 1)
            values[key] = value
            children[key] = Position(at, position.children)
        return values, Position(line, children)

    def _key(self, event: Any) -> str:
        line = event.start_mark.line + self._offset
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(line, f"alias *{event.anchor} is not read", "write the key out")
        if not isinstance(event, yaml.ScalarEvent):
            raise Unreadable(line, "a list or mapping stands where a key should", "quote values with { or [ in them")
        key: str = event.value
        if key == "<<" and event.implicit[0]:
            raise Unreadable(line, "merge key << is not read", "write the fields out")
        return key

    def _scalar(self, event: Any, line: int) -> scalars.Scalar:
        word: str = event.value
        tag = event.tag
        if tag == _TAGS + "str" or (tag in {None, "!"} and not event.implicit[0]):
            return word
        if tag is not None and tag not in {_TAGS + kind for kind in ("int", "float", "bool", "null")}:
            raise Unreadable(line, f"tag {tag[:80]!r} is not read", "leave the tag out")
        try:
            return scalars.resolve(word)
        except ValueError as error:
            raise Unreadable(line, str(error), "write it in quotes if it is a text") from error
