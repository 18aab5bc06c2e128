"""Durations as Kubernetes users write them: Go's form, ``1h30m`` or ``90s``, in whole seconds."""

import re
from typing import Final

#: The form that is understood: hours, minutes and seconds in this order, each at most once and at least one of them.
PATTERN: Final = "^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_FORM: Final = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")


def parse(text: str) -> int:
    """Seconds. Raises ValueError for anything that is not of the form, empty text among it."""
    found = _FORM.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration such as 1h30m or 90s")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def text(seconds: int) -> str:
    """The shortest way to write so many seconds: ``4h``, ``1h30m``, ``0s``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(parts) or "0s"
