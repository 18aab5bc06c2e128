"""SPIFFE IDs by the specification, and nothing that only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.spiffe import SpiffeId


@pytest.mark.parametrize(
    "text",
    [
        "spiffe://example.org/ns/shop/sa/checkout",
        "spiffe://a/b",
        "spiffe://td_1.x-y/A-Z_0.9/...",
        "spiffe://example.org/..a",
        "spiffe://" + "t" * 255 + "/x",
    ],
)
def test_good_ids_are_read_and_written_unchanged(text: str) -> None:
    assert str(SpiffeId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "spiffe://",
        "spiffe://example.org",
        "spiffe://example.org/",
        "spiffe://example.org/a/",
        "spiffe://example.org//a",
        "spiffe://example.org/a/./b",
        "spiffe://example.org/a/../b",
        "spiffe://example.org/a b",
        "spiffe://example.org/a%2fb",
        "spiffe://example.org/a\n",
        "spiffe://example.org\n/a",
        "spiffe://example.org/a\x00",
        "spiffe://example.org/\u0430",
        "spiffe://Example.org/a",
        "spiffe://example.org:443/a",
        "spiffe://user@example.org/a",
        "spiffe://example.org/a?b",
        "spiffe://example.org/a#b",
        "SPIFFE://example.org/a",
        "https://example.org/a",
        "spiffe://" + "t" * 256 + "/x",
        "spiffe://example.org/" + "x" * 2048,
        "spiffe://example.org/\ud800",
    ],
)
def test_bad_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SpiffeId.parse(text)


@given(st.text(max_size=40))
def test_whatever_is_read_is_written_unchanged(tail: str) -> None:
    try:
        identity = SpiffeId.parse(f"spiffe://example.org/{tail}")
    except ValueError:
        return
    assert str(identity) == f"spiffe://example.org/{tail}"
    assert tail.isascii()
    assert ".." not in tail.split("/")


def test_the_identity_of_a_service_account() -> None:
    identity = SpiffeId.of_service_account("example.org", "shop", "check.out")
    assert str(identity) == "spiffe://example.org/ns/shop/sa/check.out"
    assert identity.service_account() == ("shop", "check.out")


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("shop", "a/sa/b"), ("shop/sa/x", "b"), ("", "a"), ("shop", ""), ("shop", ".."), ("Shop", "a"), ("shop", "a\n")],
)
def test_no_name_can_pose_as_a_longer_path(namespace: str, name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        SpiffeId.of_service_account("example.org", namespace, name)


@pytest.mark.parametrize("path", ["/ns/shop", "/ns/shop/sa/x/y", "/workload/shop/sa/x", "/ns/shop/user/x"])
def test_other_paths_name_no_service_account(path: str) -> None:
    assert SpiffeId.parse(f"spiffe://example.org{path}").service_account() is None
