"""What a proxy makes of a path; each line has been asked of Envoy (tests/component holds the two together)."""

import pytest
from ringfence.policy import paths

MADE = {
    "/": "/",
    "/a?b=/../c": "/a",
    "/a/./b": "/a/b",
    "/a/../b": "/b",
    "/../../a": "/a",
    "/a/..": "/",
    "/a/.": "/a/",
    "/a/%2e%2E/b": "/b",
    "/a/.%2e/b": "/b",
    "/a\\..\\b": "/b",
    "/a//b": "/a//b",
    "/a//../b": "/a/b",
    "/a%2fb": "/a%2fb",
    "/a/..%2fb": "/a/..%2fb",
    "/%61dmin": "/admin",
    "/%7e%2d": "/~-",
    "/%252e": "/%252e",
    "/%%32%66": "/%252f",
    "/%2%65": "/%252e",
    "/%%41b": "/%25Ab",
    "/%%61": "/%a",
    "/%zz%": "/%zz%",
    "/a;x": "/a;x",
    "/a/..;x=1/b": "/b",
    "/a/.;x": "/a/",
    "/a/%2e%2e;/b": "/a/..;/b",
    "/a/...": "/a/...",
    "/..a": "/..a",
    '/"<>^`{|}': "/%22%3C%3E%5E%60%7B%7C%7D",
    "/é": "/%C3%A9",
    "/\udcff": "/%FF",
}


@pytest.mark.parametrize("target", MADE)
def test_what_becomes_of_a_path(target: str) -> None:
    assert paths.normalized(target) == MADE[target]


@pytest.mark.parametrize("target", MADE)
def test_what_is_normalized_means_itself_once_its_dots_are_plain(target: str) -> None:
    once = MADE[target]
    assert paths.normalized(once) == once or paths.unclear(once)


@pytest.mark.parametrize(
    "target", ["", "a", "*", "\\a", "http://x/a", "/a#b", "/a?b#c", "/%00", "/a b", "/a\x7f", "/a\n"]
)
def test_what_a_proxy_refuses(target: str) -> None:
    assert paths.normalized(target) is None


@pytest.mark.parametrize("path", ["//", "/a//b", "/a%2Fb", "/a%5cb", "/a;b", "/a%3Bb"])
def test_what_programs_may_read_in_two_ways(path: str) -> None:
    assert paths.unclear(path)
    assert not paths.unclear("/a/b.c-d_e~f/%C3%A9")
