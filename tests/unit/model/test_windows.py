"""Windows of time: said directly, and as seconds of the week."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.windows import DAY, WEEK, Window, second_of_week

HOUR = 3600
OFFICE = Window((0, 1, 2, 3, 4), 9 * HOUR, 17 * HOUR)
NIGHT = Window((4,), 22 * HOUR, 6 * HOUR)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp())


@pytest.mark.parametrize(
    ("window", "moment", "open_"),
    [
        (OFFICE, "2026-11-26T09:00:00Z", True),  # a Thursday
        (OFFICE, "2026-11-26T08:59:59Z", False),
        (OFFICE, "2026-11-26T16:59:59Z", True),
        (OFFICE, "2026-11-26T17:00:00Z", False),
        (OFFICE, "2026-11-28T12:00:00Z", False),
        (NIGHT, "2026-11-27T23:00:00Z", True),
        (NIGHT, "2026-11-28T05:59:59Z", True),
        (NIGHT, "2026-11-28T06:00:00Z", False),
        (NIGHT, "2026-11-27T05:00:00Z", False),
        (NIGHT, "2026-11-28T22:00:00Z", False),
        (Window((6,), offset=14 * HOUR), "2026-11-28T10:00:00Z", True),  # Sunday begins there on our Saturday
        (Window((6,), offset=-12 * HOUR), "2026-11-29T11:59:59Z", False),
        (Window(not_before=at("2026-01-01T00:00:00Z")), "2025-12-31T23:59:59Z", False),
        (Window(not_before=at("2026-01-01T00:00:00Z")), "2026-01-01T00:00:00Z", True),
        (Window(not_after=at("2026-01-01T00:00:00Z")), "2025-12-31T23:59:59Z", True),
        (Window(not_after=at("2026-01-01T00:00:00Z")), "2026-01-01T00:00:00Z", False),
    ],
)
def test_when_a_window_is_open(window: Window, moment: str, open_: bool) -> None:
    assert window.holds(at(moment)) is open_


def test_seconds_of_the_week_begin_on_monday() -> None:
    assert second_of_week(at("2026-11-23T00:00:00Z")) == 0
    assert second_of_week(at("2026-11-29T23:59:59Z")) == WEEK - 1
    assert Window().spans() == ((0, WEEK),)
    assert Window((0,), 0, DAY, HOUR).spans() == ((0, 23 * HOUR), (WEEK - HOUR, WEEK))
    assert NIGHT.spans() == ((4 * DAY + 22 * HOUR, 5 * DAY + 6 * HOUR),)


MOMENTS = st.integers(0, 4 * 10**9)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    near = st.one_of(st.none(), MOMENTS)
    opens, closes = draw(st.integers(0, DAY - 1)), draw(st.integers(1, DAY))
    return Window(
        tuple(sorted(draw(st.sets(st.integers(0, 6))))),
        opens,
        closes if opens != closes else DAY,
        draw(st.integers(-14 * 60, 14 * 60)) * 60,
        draw(near),
        draw(near),
    )


def around(window: Window) -> list[int]:
    """Moments at which something may change, and those beside them."""
    edges = [edge for span in window.spans()[:3] for edge in span]
    bounds = [each for each in (window.not_before, window.not_after) if each is not None]
    base = (bounds[0] if bounds else 10**9) // WEEK * WEEK - 3 * DAY
    return [each + step for each in (*bounds, *(base + e for e in edges), base + WEEK) for step in (-1, 0, 1)]


@given(windows(), MOMENTS)
def test_the_seconds_of_the_week_are_those_at_which_it_is_open(window: Window, moment: int) -> None:
    for each in (moment, *(m for m in around(window) if m >= 0)):
        second = second_of_week(each)
        within = (window.not_before is None or each >= window.not_before) and (
            window.not_after is None or each < window.not_after
        )
        told = within and any(first <= second < last for first, last in window.spans())
        assert told == window.holds(each), each


@given(windows())
def test_an_empty_window_is_never_open(window: Window) -> None:
    if window.empty:
        assert not any(window.holds(each) for each in around(window) if each >= 0)
    elif None not in {window.not_before, window.not_after}:
        first, last = window.not_before or 0, window.not_after or 0
        edges = [first + (span[0] - second_of_week(first)) % WEEK for span in window.spans()]
        assert any(window.holds(each) for each in (first, *edges) if first <= each < last)
