"""Sizes in bytes as people write them."""

import pytest
from ringfence.model import sizes


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("1000", 1000), ("1Ki", 1024), ("10Mi", 10 << 20), ("1Gi", 1 << 30)]
)
def test_both_ways(text: str, size: int) -> None:
    assert sizes.parse(text) == size
    assert sizes.text(size) == text


def test_the_shortest_way_is_written() -> None:
    assert sizes.text(sizes.parse("2048Ki")) == "2Mi"


@pytest.mark.parametrize("text", ["", "0", "-1", "1k", "1M", "1.5Mi", "1 Mi", "Mi", "01", "1Mi\n", "1e3", "\u0661"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size such as"):
        sizes.parse(text)
