"""The parser on what is hostile or made up: refused in words, quickly, whatever it is."""

import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence import api
from ringfence.model.errors import FieldError, InvalidResource

from tests.unit.api import corpus, strategies


def errors(obj: Any) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidResource) as caught:
        api.parse(obj)
    return caught.value.errors


def refusal(obj: Any) -> tuple[FieldError, ...] | None:
    try:
        api.parse(obj)
    except InvalidResource as invalid:
        return invalid.errors
    return None


def hostile() -> dict[str, Any]:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"from": [deep]}
    return {
        "10,000 rules": {"ingress": [{"name": f"r{n}"} for n in range(10_000)]},
        "100,000 unknown fields": {f"field{n}": n for n in range(100_000)},
        "unknown fields in every rule": {
            "ingress": [{"name": f"r{n}", **{f"x{m}": m for m in range(100)}} for n in range(100)]
        },
        "deep nesting": {"ingress": [deep]},
        "a string of 8 MiB": {"ingress": [{"name": "x" * 2**23}]},
        "8 MiB of a's where a pattern backtracks": {"ingress": [{"name": "r", "from": [{"zone": "a" * 2**23}]}]},
        "a huge number": {"ingress": [{"name": "r", "ports": [10**100_000]}]},
        "infinity": {"ingress": [{"name": "r", "ports": [float("inf"), float("nan")]}]},
        "keys that are no strings": {1: 2, None: 3, 1.5: 4, (1, 2): 5},
        "half a surrogate": {"ingress": [{"name": "\ud800", "\udfff": 1}]},
        "control characters in a key": {"\x1b[31m": 1, "a\nb": 2},
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_input_is_refused_quickly(name: str) -> None:
    obj = corpus.policy()
    obj["spec"] = hostile()[name]
    start = time.process_time()
    found = errors(obj)
    assert time.process_time() - start < 1
    assert len(found) <= api.MAX_ERRORS + 1
    assert all(len(str(error)) < 1000 and str(error).isprintable() for error in found)


@pytest.mark.parametrize("text", ["a" * 253 + "!", "a-" * 126 + "!", "a." * 126 + "!", "." * 253, "a" + "-" * 252])
def test_no_pattern_takes_long_to_say_no(text: str) -> None:
    start = time.process_time()
    errors(corpus.caller(identity={"name": text}))
    errors(corpus.caller(spiffeID="spiffe://example.org/" + 7 * text + "!"))
    errors(corpus.selecting({"matchLabels": {text: "a"}}))
    errors(corpus.exception(reason=text + "\n"))
    assert time.process_time() - start < 0.5


@given(strategies.resources())
def test_whatever_the_schema_describes_is_read(obj: dict[str, Any]) -> None:
    assert api.parse(obj) == api.parse(copy.deepcopy(obj))


@given(strategies.resources(), st.data())
def test_whatever_is_given_is_read_or_refused_in_words(obj: dict[str, Any], data: st.DataObject) -> None:
    broken = data.draw(strategies.broken(obj))
    found = refusal(broken)
    assert found is None or (found and list(found) == sorted(found))
    assert all(str(error).isprintable() for error in found or ())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_nothing_at_all_is_more_than_refused(value: Any) -> None:
    for obj in (value, {**corpus.policy(), "spec": value}, {**corpus.cluster_policy(), "metadata": value}):
        errors(obj)
