import pytest
from ringfence.controls import expiry


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:10Z", 10),
        ("1970-01-01T01:00:10+01:00", 10),
        ("1970-01-01T00:00:10", 0),
        ("1970-01-01", 0),
        ("10", 0),
        ("", 0),
        ("tomorrow", 0),
    ],
)
def test_what_has_no_offset_or_is_no_time_ended_long_ago(text: str, seconds: float) -> None:
    assert expiry.ends(text) == seconds
