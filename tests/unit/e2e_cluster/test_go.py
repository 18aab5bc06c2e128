"""Which Go is good enough."""

import pytest

from e2e.cluster import go


@pytest.mark.parametrize(
    "text", ["go version go1.25.0 linux/amd64\n", "go version go1.26.8 linux/amd64", "go version go2.0 linux/arm64"]
)
def test_new_ones_are(text: str) -> None:
    assert go.is_new_enough(text)


@pytest.mark.parametrize(
    "text", ["", "go version go1.19.8 linux/amd64\n", "go version go1.24.9 linux/amd64", "go version devel"]
)
def test_old_and_unknown_ones_are_not(text: str) -> None:
    assert not go.is_new_enough(text)
