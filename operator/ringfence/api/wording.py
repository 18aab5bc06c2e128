"""Words for messages: what a value is, what was wanted, and the name that was probably meant.

Everything that came from outside is cut and made plain before it stands in a message.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ringfence.api import schema

_LONGEST: Final = 60
_WORDS: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (type(None), "null"),
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "a string"),
    (Mapping, "an object"),
    ((list, tuple), "a list"),
)


def described(value: object) -> str:
    """What kind of value it is, with the value where that is short."""
    kind = next((words for kinds, words in _WORDS if isinstance(value, kinds)), f"a {type(value).__name__}")
    return f"{kind}, {shown(value)}" if isinstance(value, str | int | float) else kind


def shown(value: object) -> str:
    """A value as it can safely stand in a message: JSON in ASCII, cut."""
    if isinstance(value, str):
        text = json.dumps(value[:_LONGEST])
        return text if len(value) <= _LONGEST and len(text) <= 2 * _LONGEST else f'{text[: _LONGEST - 1]}…"'
    if isinstance(value, int) and abs(value) >= 10**_LONGEST:
        return "a very large one"
    return json.dumps(value) if isinstance(value, int | float | None) else described(value)


def wanted(node: schema.Node) -> str:
    """What should have been given."""
    return _WANTED[type(node)](node)


_WANTED: Final[Mapping[type[schema.Node], Callable[[Any], str]]] = {
    schema.Text: lambda node: node.what,
    schema.Integer: lambda node: f"a whole number from {node.minimum} to {node.maximum}",
    schema.Number: lambda node: f"a number from {node.minimum:g} to {node.maximum:g}",
    schema.Choice: lambda node: f"one of {', '.join(node.values)}",
    schema.Flag: lambda _: "true",
    schema.ListOf: lambda _: "a list",
    schema.MapOf: lambda node: "an object of " + ("lists" if isinstance(node.values, schema.ListOf) else "strings"),
    schema.Either: lambda node: alternatives(_forms(node)),
    schema.Obj: lambda _: "an object",
}


def _forms(node: schema.Either) -> list[str]:
    forms = ["a name" if isinstance(node.word, schema.Text) else wanted(node.word)]
    if node.number is not None:
        forms.insert(0, "a number")
    if node.detail is not None:
        forms.append("an object")
    return forms


def alternatives(forms: Sequence[str]) -> str:
    """``a, b or c``."""
    return f"{', '.join(forms[:-1])} or {forms[-1]}" if len(forms) > 1 else forms[0]


def key(name: object) -> str:
    """A key as it can safely stand in a path."""
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_./-]{1,63}", name) else shown(name)


def meant(name: object, known: tuple[str, ...]) -> str:
    """The fix for a name that is not known: the nearest that is, or all of them."""
    near = _nearest(name, known) if isinstance(name, str) and len(name) <= 63 else ""
    return f"did you mean {near}?" if near else f"known: {', '.join(known)}"


def _nearest(name: str, known: tuple[str, ...]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else ""
