"""Mappings that many hold: never changed, and one for all that have the same."""

from ringfence.proxyd.shared import NOTHING, first_same, outdated, without


def test_of_what_says_the_same_the_first_is_held() -> None:
    known = {"a": "1"}
    assert first_same({"a": "1"}, (known, {"a": "1"})) is known
    assert first_same(own := {"a": "2"}, (known,)) is own
    assert first_same({}, (known, {})) is NOTHING


def test_names_are_left_out_of_a_copy_and_only_when_they_are_there() -> None:
    held = {"a": "1", "b": "2"}
    assert without(held, ("c",)) is held
    assert without(held, ("b", "c")) == {"a": "1"}
    assert without(held, ("a", "b")) is NOTHING
    assert held == {"a": "1", "b": "2"}


def test_what_is_outdated_is_still_known() -> None:
    held = {"a": "1", "b": "2"}
    assert outdated(held, ("b", "c")) == {"a": "1", "b": ""}
    assert outdated(held, ("c",)) is held
