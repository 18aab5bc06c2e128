"""Cluster names stand in file, interface and host names."""

from pathlib import Path

import pytest

from e2e.cluster import paths


@pytest.mark.parametrize("name", ["a", "ringfence", "a-1", "x" * 32])
def test_good_names_pass_unchanged(name: str) -> None:
    assert paths.checked_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a/b", "..", "a\n", "x" * 33, "a b"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cluster name"):
        paths.checked_name(name)


def test_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_CACHE", "/elsewhere")
    assert paths.cluster("one") == Path("/elsewhere/cluster/one")
