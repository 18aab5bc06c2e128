"""What an unquoted word in YAML means, as kubectl reads it (YAML 1.1 by way of JSON), and how to write it back.

PyYAML's own reading differs where it hurts: it makes dates of dates and minutes of 22:22. One reading for the command
and for the API server means that a file that passes here is not another one there.
"""

import math
import re
from typing import Final

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset({"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
_NO_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_PREFIXED: Final = re.compile(r"([-+]?)0(?:x([0-9a-fA-F_]+)|o([0-7_]+)|b([01_]+)|([0-7_]+))")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
#: Longer runs of digits are no quantity of anything; Python refuses beyond 4,300.
_MAX_DIGITS: Final = 400

Scalar = str | int | float | bool | None


def resolve(word: str) -> Scalar:
    """The value of an unquoted word; raises ValueError, with the reason, for one that JSON cannot carry."""
    if word in _NULL:
        return None
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    if word[0] not in "+-.0123456789":
        return word
    if _NO_NUMBER.fullmatch(word):
        raise ValueError(f"{word} is not a number that JSON can carry")
    return _number(word)


def _number(word: str) -> Scalar:
    if not (_DECIMAL.fullmatch(word) or _PREFIXED.fullmatch(word) or _FLOAT.fullmatch(word)):
        return word
    if len(word) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(word)} digits")
    if _DECIMAL.fullmatch(word):
        return int(word.replace("_", ""))
    prefixed = _PREFIXED.fullmatch(word)
    if prefixed:
        sign, *digits = prefixed.groups()
        base, text = next((b, d) for b, d in zip((16, 8, 2, 8), digits, strict=True) if d is not None)
        text = text.replace("_", "")
        return int(sign + text, base) if text else word
    value = float(word)
    if math.isinf(value):
        raise ValueError(f"{word} is too large for a number")
    return value


def plain(word: str) -> bool:
    """Whether a string may be written without quotes and still be read as that string."""
    try:
        return resolve(word) == word
    except ValueError:
        return False
