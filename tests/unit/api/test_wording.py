"""Whatever comes from outside is short and plain when it stands in a message."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.api import wording


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean, true"),
        (7, "a number, 7"),
        (1.5, "a number, 1.5"),
        ("a", 'a string, "a"'),
        ({}, "an object"),
        ([1], "a list"),
        pytest.param(10**5000, "a number, a very large one", id="large"),
        pytest.param(-(10**5000), "a number, a very large one", id="small"),
        ({1}, "a set"),
    ],
)
def test_values_in_words(value: Any, words: str) -> None:
    assert wording.described(value) == words


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text()))
def test_whatever_it_is_it_is_short_and_plain(value: Any) -> None:
    for said in (wording.shown(value), wording.described(value), wording.key(value)):
        assert len(said) <= 140
        assert said.isascii() or "…" in said
        assert said.isprintable()


def test_long_strings_are_cut() -> None:
    assert wording.shown("x" * 1000) == '"' + "x" * 58 + '…"'


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("form", "did you mean from?"),
        ("FROM", "did you mean from?"),
        ("prots", "did you mean ports?"),
        ("zebra", "known: from, ports"),
        ("x" * 1000, "known: from, ports"),
        (None, "known: from, ports"),
    ],
)
def test_the_name_that_was_probably_meant(name: Any, fix: str) -> None:
    assert wording.meant(name, ("from", "ports")) == fix
