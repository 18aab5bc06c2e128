"""Unquoted words mean what kubectl makes of them."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ringfence.cli import console, reader, scalars


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("yes", True),
        ("On", True),
        ("y", True),
        ("off", False),
        ("N", False),
        ("8443", 8443),
        ("-1", -1),
        ("1_000", 1000),
        ("0644", 0o644),
        ("0o17", 0o17),
        ("0x1F", 31),
        ("0b101", 5),
        ("08", 8.0),
        ("1.3", 1.3),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("22:22", "22:22"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("-", "-"),
        ("0x", "0x"),
        ("0x_", "0x_"),
        ("1.2.3", "1.2.3"),
        ("yEs", "yEs"),
        ("1\n", "1\n"),
        ("\u0661", "\u0661"),
    ],
)
def test_resolve(word: str, value: object) -> None:
    found = scalars.resolve(word)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan", "1e999", "9" * 5000, "0x" + "f" * 5000])
def test_numbers_that_json_cannot_carry_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"number|large"):
        scalars.resolve(word)


@given(st.text(max_size=30))
def test_what_is_written_is_read_back(text: str) -> None:
    try:
        yaml.safe_dump(text).encode()
    except UnicodeEncodeError:  # a lone surrogate cannot be in a file
        return
    written = console.to_yaml({"key": text})
    assert [each.value for each in reader.documents(written)] == [{"key": text}]


@given(st.text(alphabet="0123456789+-._eExXoObBaAfFnNiIyY", max_size=12))
def test_every_word_is_read_or_refused(word: str) -> None:
    try:
        value = scalars.resolve(word)
    except ValueError:
        return
    assert value is None or isinstance(value, str | int | float)
    assert scalars.plain(word) == (value == word and isinstance(value, str))
