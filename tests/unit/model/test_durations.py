"""Durations mean what Go makes of them, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model import durations


@pytest.mark.parametrize(
    ("text", "seconds"), [("4h", 14400), ("1h30m", 5400), ("90s", 90), ("24h0m0s", 86400), ("0s", 0), ("10m", 600)]
)
def test_reads(text: str, seconds: int) -> None:
    assert durations.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1d", "1.5h", "30m1h", "-1h", " 1h", "1h\n", "1h1h", "\u0661h"])
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        durations.parse(text)


@given(st.integers(0, 10**9))
def test_what_is_written_reads_the_same(seconds: int) -> None:
    assert durations.parse(durations.text(seconds)) == seconds
