"""Moments and durations as the `ca` commands write them, and how they ask before they do what costs something."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ringfence.cli.console import Console

#: Digits of a fingerprint that people compare.
SHORT: Final = 16
#: Names in a sentence.
NAMED: Final = 10

_UNITS: Final = ((365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def moment(seconds: float) -> str:
    """RFC 3339, UTC, of seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: object) -> float | None:
    """The way back, None for what is no moment with a zone."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def span(seconds: float) -> str:
    """A duration by its largest two units: ``364d``, ``1h30m``, ``48s``."""
    rest = max(0, round(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
        if len(parts) == 2 or (parts and not number):
            break
    return "".join(parts) or "0s"


def count(number: int, noun: str, plural: str = "") -> str:
    """``1 certificate``, ``2 certificates``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def agreed(arguments: argparse.Namespace, console: Console) -> bool:
    """Whether to go on: ``--yes``, or the answer of whoever sits at the terminal."""
    if arguments.yes:
        return True
    if sys.stdin.isatty():
        console.progress("go on? Write `yes`:")
        if sys.stdin.readline().strip() == "yes":
            return True
        console.error("nothing was changed")
        return False
    console.error("nothing was changed: say --yes if that is what you want")
    return False
