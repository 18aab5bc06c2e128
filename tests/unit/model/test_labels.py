"""Boxes of labels behave as sets: every law is checked by membership over a small universe of objects."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.model import labels
from ringfence.model.labels import ANY_VALUE, LabelBox, ValueSet

KEYS = ("app", "tier", "ringfence.dev/identity")
#: None is absence; "other" stands for all values that no set names.
VALUES = (None, "", "a", "b", "other")
NAMED = ("", "a", "b")
OBJECTS = tuple(
    {key: value for key, value in zip(KEYS, combination, strict=True) if value is not None}
    for combination in itertools.product(VALUES, repeat=len(KEYS))
)

value_sets = st.builds(
    ValueSet, values=st.frozensets(st.sampled_from(NAMED)), complement=st.booleans(), absent=st.booleans()
)
boxes = st.dictionaries(st.sampled_from(KEYS), value_sets, max_size=3).map(LabelBox.of)


def members(box: LabelBox) -> list[Mapping[str, str]]:
    return [labelled for labelled in OBJECTS if box.matches(labelled)]


def selects(selector: Mapping[str, Any], labelled: Mapping[str, str]) -> bool:
    """Kubernetes' LabelSelector, written down a second time."""
    operators = {
        "In": lambda value, values: value is not None and value in values,
        "NotIn": lambda value, values: value is None or value not in values,
        "Exists": lambda value, _: value is not None,
        "DoesNotExist": lambda value, _: value is None,
    }
    return all(labelled.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        operators[each["operator"]](labelled.get(each["key"]), each.get("values", []))
        for each in selector.get("matchExpressions", [])
    )


@given(value_sets, value_sets)
def test_value_sets_are_sets(one: ValueSet, other: ValueSet) -> None:
    for value in VALUES:
        assert (value in one & other) == (value in one and value in other)
        assert (value in one | other) == (value in one or value in other)
        assert (value in ~one) == (value not in one)


@given(value_sets)
def test_a_value_set_is_empty_or_full_exactly_when_its_members_say_so(values: ValueSet) -> None:
    assert values.empty == (not any(value in values for value in VALUES))
    assert values.full == all(value in values for value in VALUES)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (labels.one_of("a"), {"a"}),
        (labels.none_of("a"), {None, "", "b", "other"}),
        (labels.exists(), {"", "a", "b", "other"}),
        (labels.missing(), {None}),
        (ANY_VALUE, set(VALUES)),
    ],
)
def test_the_words_of_kubernetes_selectors(values: ValueSet, expected: set[str | None]) -> None:
    assert {value for value in VALUES if value in values} == expected


@given(boxes, boxes)
def test_intersection(one: LabelBox, other: LabelBox) -> None:
    both = one & other
    assert members(both) == [each for each in members(one) if other.matches(each)]
    assert both == other & one


@given(boxes, boxes)
def test_difference_is_exact_and_its_pieces_are_disjoint_and_not_empty(one: LabelBox, other: LabelBox) -> None:
    pieces = one.minus(other)
    expected = [each for each in members(one) if not other.matches(each)]
    assert sorted(map(repr, expected)) == sorted(repr(each) for piece in pieces for each in members(piece))
    assert not any(piece.empty for piece in pieces)


@given(boxes)
def test_nothing_is_left_of_a_box_without_itself(box: LabelBox) -> None:
    assert box.minus(box) == ()
    assert box.minus(LabelBox()) == ()


@given(boxes)
def test_a_box_is_empty_exactly_when_it_has_no_members(box: LabelBox) -> None:
    assert box.empty == (not members(box))


@given(st.dictionaries(st.sampled_from(KEYS), value_sets))
def test_equal_boxes_are_equal_values_whatever_the_order(conditions: dict[str, ValueSet]) -> None:
    box = LabelBox.of(conditions)
    assert box == LabelBox.of(dict(reversed(conditions.items())))
    assert hash(box) == hash(LabelBox.of(dict(reversed(conditions.items()))))
    assert all(not values.full for _, values in box.conditions)
    assert {key: box.get(key) for key in KEYS} == {key: conditions.get(key, ANY_VALUE) for key in KEYS}


@given(boxes)
def test_selectors_select_what_the_box_holds(box: LabelBox) -> None:
    selectors = box.selectors()
    for labelled in OBJECTS:
        assert any(selects(selector, labelled) for selector in selectors) == box.matches(labelled)


@given(boxes)
def test_selectors_are_ones_that_the_api_server_takes(box: LabelBox) -> None:
    for selector in box.selectors():
        assert selector.get("matchLabels", {"x": ""})
        assert selector.get("matchExpressions", ["x"])
        for requirement in selector.get("matchExpressions", []):
            assert ("values" in requirement) == (requirement["operator"] in {"In", "NotIn"})
            assert requirement.get("values", ["x"]) == sorted(set(requirement.get("values", ["x"])))
            assert requirement.get("values", ["x"])


def test_selectors_are_written_as_people_write_them() -> None:
    box = LabelBox.of({"app": labels.one_of("a"), "tier": labels.none_of("b"), "zone": labels.exists()})
    assert box.selectors() == (
        {
            "matchLabels": {"app": "a"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["b"]},
                {"key": "zone", "operator": "Exists"},
            ],
        },
    )
    assert LabelBox().selectors() == ({},)


def test_a_label_that_may_be_absent_or_one_of_some_takes_two_selectors() -> None:
    box = LabelBox.of({"app": labels.one_of("a") | labels.missing()})
    assert box.selectors() == (
        {"matchLabels": {"app": "a"}},
        {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
    )


@given(value_sets, value_sets)
def test_value_sets_compare_as_their_members_do(one: ValueSet, other: ValueSet) -> None:
    assert one.disjoint(other) == (one & other).empty
    assert one.within(other) == (one & ~other).empty
    assert (one | other) == ~(~one & ~other)


@given(boxes, boxes)
def test_boxes_compare_as_their_members_do(one: LabelBox, other: LabelBox) -> None:
    assert one.disjoint(other) == (one & other).empty
    assert one.within(other) == (not one.minus(other))
    assert hash(one) == hash(LabelBox.of(dict(one.conditions)))
