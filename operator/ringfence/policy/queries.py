"""Parameters in the query of a request: what they are, and where programs may not agree on that.

There is no one way to read a query. Programs differ in what parts it (``;``), in case, in what they take for the same
name (PHP: ``a.b`` and ``a_b``; many: ``a[]`` and ``a``), and in which of several values counts. So a name that a rule
looks at must stand there at most once, between ``&``, and as it is written in the rule.
"""

import re
from typing import Final

from ringfence.model.requests import Asks, QueryCondition
from ringfence.model.resources import Action

_PRINTABLE: Final = re.compile("[!-~]*")
_PARTS: Final = re.compile("[&;]")
#: What a value that is compared may not hold: it would be decoded, or end, in some programs only.
ODD: Final = "%+;"
#: In a name these stand for each other in some programs, and for ``[`` (whose neighbours make no difference).
SAME: Final = "_."
_FOLDED: Final = str.maketrans(r".[\]^", "_____")
_ESCAPED: Final = re.compile("[%+]")


def unclear(condition: QueryCondition, target: str) -> bool:
    """Whether programs may read the parameter of a condition in another way than the rule."""
    query, name = _query(target), condition.parameter
    if not _PRINTABLE.fullmatch(query):
        return True
    alike = [part for part in _PARTS.split(query) if _alike(part.partition("=")[0], name)]
    if not alike:
        return False
    value = _value(query, name)
    if len(alike) > 1 or value is None:
        return True
    return bool(condition.values) and any(char in value for char in ODD)


def matches(condition: QueryCondition, target: str, action: Action) -> bool:
    """Whether a condition in a rule of this action holds. A parameter without a value may be read as missing."""
    value, deny = _value(_query(target), condition.parameter), action is Action.DENY
    match condition.test:
        case Asks.EXISTS:
            return value is not None if deny else bool(value)
        case Asks.ABSENT:
            return not value if deny else value is None
    if not value:
        return deny
    match condition.test:
        case Asks.IN:
            return value in condition.values
        case Asks.NOT_IN:
            return value not in condition.values
        case _:
            return value.startswith(condition.values)


def value(target: str, name: str) -> str | None:
    """The value of a parameter in a path with its query: "" where it has none, None where it is not there."""
    return _value(_query(target), name)


def _query(target: str) -> str:
    return target.partition("?")[2]


def _value(query: str, name: str) -> str | None:
    """The value of a parameter: "" where it has none, None where it is not there."""
    for part in query.split("&"):
        found, _, value = part.partition("=")
        if found == name:
            return value
    return None


def _alike(found: str, name: str) -> bool:
    """Whether some program may take the name of a parameter, as it is sent, for another.

    What is written with escapes counts as alike as soon as it begins alike: programs that decode twice are not asked.
    """
    read, wanted = _folded(found), _folded(name)
    if read.startswith(wanted) and found[len(name) : len(name) + 1] == "[":
        return True
    escape = _ESCAPED.search(found)
    if escape is None:
        return read == wanted
    if escape.start():
        return wanted.startswith(read[: escape.start()])
    return found[0] == "+" or found[1:3].lower() in beginnings(name)


def beginnings(name: str) -> tuple[str, ...]:
    """What may be behind a ``%`` (in small letters) at the beginning of a name: it, a space, or another ``%``."""
    return ("20", "25", *dict.fromkeys(f"{ord(char):02x}" for char in (name[0].lower(), name[0].upper())))


def _folded(name: str) -> str:
    return name.lower().translate(_FOLDED)
