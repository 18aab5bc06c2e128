"""Which packages are missing."""

import pytest

from e2e.cluster import debian, versions


def test_what_is_here_is_not_missing() -> None:
    assert debian.missing(["openssl"]) == []


def test_what_is_not_here_is_named_once_and_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"no-such-b": "b", "no-such-a": "a", "/no/such/file": "b", "sh": "dash"}
    monkeypatch.setattr(versions, "DEBIAN_PACKAGES", packages)
    assert debian.missing(packages) == ["a", "b"]
