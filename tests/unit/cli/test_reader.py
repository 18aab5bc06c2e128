"""YAML and JSON: what is read, and what is refused with which line."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.cli import reader
from ringfence.cli.reader import Unreadable


def values(text: str, *, json_only: bool = False) -> list[object]:
    return [document.value for document in reader.documents(text, json_only=json_only)]


def test_documents_are_told_apart_and_empty_ones_left_out() -> None:
    assert values("a: 1\n---\n# nothing\n---\nb: 2\n...\n---\n- 3\n") == [{"a": 1}, {"b": 2}, [3]]
    assert [d.position.line for d in reader.documents("a: 1\n---\n---\n\nb: 2\n")] == [1, 5]


def test_quoted_words_are_texts_and_keys_always_are() -> None:
    assert values("a: \"8\"\n8: 'no'\non: |\n  1\n") == [{"a": "8", "8": "no", "on": "1\n"}]


def test_dates_stay_texts() -> None:
    assert values("until: 2026-01-01T00:00:00Z") == [{"until": "2026-01-01T00:00:00Z"}]


def test_anchors_alone_are_harmless() -> None:
    assert values("a: &x 1") == [{"a": 1}]


def test_tags_of_the_core_schema_count() -> None:
    assert values("a: !!str 8\nb: !!int '8'\nc: !!map {d: 1}\n") == [{"a": "8", "b": 8, "c": {"d": 1}}]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb:\n\t- c\n", 3, "indent with spaces"),
        ("a: [1\nb: 2\n", 2, "is not YAML"),
        ("a: 1\na: 2\n", 2, "'a' is given twice (first in line 1)"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "'b' is given twice (first in line 2)"),
        ("a: &x [1]\nb: *x\n", 2, "alias *x is not read"),
        ("a: &x b\n*x : 2\n", 2, "alias *x is not read"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge key"),
        ("a: !!python/object:os.system {}\n", 1, "tag"),
        ("a: !secret b\n", 1, "tag"),
        ("a: {{ .Values.b }}\n", 1, "a list or mapping stands where a key should"),
        ("? [a]\n: 1\n", 1, "where a key should"),
        ("a: .inf\n", 1, "not a number that JSON can carry"),
        ("a: 1e999\n", 1, "too large"),
        ("a: " + "9" * 5000, 1, "5000 digits"),
        ("a: \x00\n", 1, "is not YAML"),
        ('a: "b\n', 2, "is not YAML"),
        ("%YAML 3.0\n---\na: 1\n", 1, "is not YAML"),
        ("[" * 100_000, 1, "nested too deeply"),
        ("- " * 100_000, 1, "nested too deeply"),
        ("{a: " * 100_000, 1, "nested too deeply"),
        ('{"a": 1,\n "b": {"c": 1,\n "c": 2}}', 3, "'c' is given twice (first in line 2)"),
        ('{"a": NaN}', 1, "NaN is not a number that JSON can carry"),
        ('{"a": -Infinity}', 1, "Infinity is not a number"),
        ('{"a": 1e999}', 1, "too large"),
        ('{"a": ' + "9" * 5000 + "}", 1, "5000 digits"),
        ('{"a": 1}\n{"b": ' + "[" * 70 + "]" * 70 + "}", 2, "nested too deeply"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", 1, "nested too deeply"),
        ('{"\\ud83d\\ude00": 1, "\\ud83d\\ude00": 2}', 1, "is given twice"),
    ],
)
def test_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        values(text)
    assert message in str(caught.value)
    assert caught.value.line == line


def test_json_is_refused_as_json_where_the_name_says_so() -> None:
    with pytest.raises(Unreadable, match="line 2: is not JSON"):
        values('{"a": 1,\n2}', json_only=True)
    with pytest.raises(Unreadable, match="is not JSON"):
        values("a: 1", json_only=True)


def test_json_with_tabs_and_surrogates_has_lines() -> None:
    (document,) = reader.documents('{\t"a": "\\ud83d\\ude00",\n\t"b": [1,\n\t2]}')
    assert document.value == {"a": "\U0001f600", "b": [1, 2]}
    assert document.position.line_of("b[1]") == 3


def test_several_json_documents_in_one_text() -> None:
    documents = list(reader.documents('{"a": 1}\n{"b":\n2}\n'))
    assert [each.value for each in documents] == [{"a": 1}, {"b": 2}]
    assert documents[1].position.line_of("b") == 2


def test_flow_yaml_is_no_json_error() -> None:
    assert values("{a: 1, b: [x]}") == [{"a": 1, "b": ["x"]}]


def test_a_byte_order_mark_is_no_content() -> None:
    assert values('\ufeff{"a": 1}') == [{"a": 1}]
    assert values("\ufeffa: 1") == [{"a": 1}]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_json(value: object) -> None:
    expected = [] if value is None else [value]
    assert values(json.dumps(value), json_only=True) == expected


@given(st.text(alphabet="ab:-[]{},\"'&*!|>#%@`? \n\t\\0123.", max_size=60))
def test_every_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(Unreadable):
        values(text)
