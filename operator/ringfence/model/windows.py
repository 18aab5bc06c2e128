"""Windows of time: parts of the week in a fixed offset from UTC, and moments from which and until which.

Times are seconds since 1970-01-01T00:00:00Z, a Thursday. A window is open from its first second on and closed from its
last: 09:00 to 17:00 holds 16:59:59 and not 17:00:00.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DAY: Final = 86400
WEEK: Final = 7 * DAY
#: Seconds from the Monday before 1970-01-01T00:00:00Z to it.
MONDAY: Final = 3 * DAY

#: Seconds of the week, from Monday 00:00 UTC: from the first on, before the last.
Span = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """When something holds: on these days, 0 (Monday) to 6 (none given: on every day), from ``opens`` to ``closes``.

    ``opens`` 0..86399 and ``closes`` 1..86400 are seconds of the day; a window that closes before it opens goes on into
    the next day. ``offset`` is how many seconds local time is ahead of UTC. ``not_before`` and ``not_after`` (None: no
    bound) are moments: it holds from the one on and before the other.
    """

    days: tuple[int, ...] = ()
    opens: int = 0
    closes: int = DAY
    offset: int = 0
    not_before: int | None = None
    not_after: int | None = None

    def holds(self, time: int) -> bool:
        """Whether the window is open at this second."""
        if self.not_before is not None and time < self.not_before:
            return False
        if self.not_after is not None and time >= self.not_after:
            return False
        days, second = divmod(time + self.offset, DAY)
        today, yesterday = (days + 3) % 7, (days + 2) % 7
        if self.opens < self.closes:
            return self._on(today) and self.opens <= second < self.closes
        return (self._on(today) and second >= self.opens) or (self._on(yesterday) and second < self.closes)

    def _on(self, day: int) -> bool:
        return not self.days or day in self.days

    def spans(self) -> tuple[Span, ...]:
        """The seconds of the week in UTC at which it is open, its bounds aside: sorted, none touches another."""
        length = (self.closes - self.opens) % DAY or DAY
        found = []
        for day in self.days or range(7):
            first = (day * DAY + self.opens - self.offset) % WEEK
            found.append((first, min(first + length, WEEK)))
            if first + length > WEEK:
                found.append((0, first + length - WEEK))
        return _merged(found)

    @property
    def empty(self) -> bool:
        """Whether it is never open."""
        if self.not_before is None or self.not_after is None:
            return False
        length = self.not_after - self.not_before
        if length >= WEEK:
            return False
        first = second_of_week(self.not_before)
        bounds = [(first, first + length)]
        # Seen over two weeks, so that bounds over the end of a week need no case of their own.
        opened = [(a + week, b + week) for a, b in self.spans() for week in (0, WEEK)]
        return length <= 0 or not any(a < last and first < b for first, last in bounds for a, b in opened)


def second_of_week(time: int) -> int:
    """How many seconds after Monday 00:00 UTC a moment is."""
    return (time + MONDAY) % WEEK


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)
