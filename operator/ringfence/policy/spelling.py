"""Conditions on requests in the words of people."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from ringfence.model.requests import Asks, HeaderCondition, QueryCondition, TimeCondition
from ringfence.model.windows import DAY, Window

#: Of Window.days.
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ASKS: Final = {Asks.IN: "in", Asks.NOT_IN: "not in", Asks.PREFIX: "that begins with"}


def header(condition: HeaderCondition) -> str:
    """``header x-env in prod``, ``no header x-env``."""
    return _condition("header", condition.header, condition.test, condition.values)


def parameter(condition: QueryCondition) -> str:
    """``parameter env in prod``, ``no parameter env``."""
    return _condition("parameter", condition.parameter, condition.test, condition.values)


def _condition(what: str, name: str, test: Asks, values: tuple[str, ...]) -> str:
    if test in {Asks.EXISTS, Asks.ABSENT}:
        return f"{'a' if test is Asks.EXISTS else 'no'} {what} {name}"
    return f"{what} {name} {_ASKS[test]} {', '.join(values)}"


def time(condition: TimeCondition) -> str:
    """``within Mon Tue 09:00-17:00 +01:00``, ``outside …``."""
    return f"{'outside' if condition.outside else 'within'} {windows(condition.windows)}"


def windows(several: Iterable[Window]) -> str:
    """All of them, sorted."""
    return " or ".join(map(_window, sorted(several, key=repr)))


def _window(window: Window) -> str:
    parts = [" ".join(DAYS[day] for day in window.days)]
    daily = (window.opens, window.closes) != (0, DAY)
    parts.append(f"{_clock(window.opens)}-{_clock(window.closes)}" if daily else "")
    if daily or window.days:
        parts.append(offset(window.offset))
    parts.append(f"from {moment(window.not_before)}" if window.not_before is not None else "")
    parts.append(f"until {moment(window.not_after)}" if window.not_after is not None else "")
    return " ".join(filter(None, parts)) or "always"


def _clock(second: int) -> str:
    minute = f"{second // 3600:02d}:{second // 60 % 60:02d}"
    # The API takes minutes. Where there is more to say it is said: windows are told apart by their words.
    return f"{minute}:{second % 60:02d}" if second % 60 else minute


def offset(seconds: int) -> str:
    """``UTC``, ``+05:30``."""
    minutes = abs(seconds) // 60
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}" if minutes else "UTC"


def moment(time_: int) -> str:
    """``2026-11-26T10:00:00Z``."""
    return datetime.fromtimestamp(time_, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
