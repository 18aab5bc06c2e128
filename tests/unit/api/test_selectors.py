"""What a LabelSelector selects, by Kubernetes' words and by the box that the parser makes of it."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ringfence.api.v1alpha1 import selectors
from ringfence.model.labels import LabelBox

KEYS = ("app", "tier")
VALUES = (None, "", "a", "b", "other")
OBJECTS = tuple(
    {key: value for key, value in zip(KEYS, combination, strict=True) if value is not None}
    for combination in itertools.product(VALUES, repeat=len(KEYS))
)

keys = st.sampled_from(KEYS)
some_values = st.lists(st.sampled_from(("", "a", "b")), min_size=1, max_size=3)
requirements = st.one_of(
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(("In", "NotIn")), "values": some_values}),
    st.fixed_dictionaries({"key": keys, "operator": st.sampled_from(("Exists", "DoesNotExist"))}),
)
label_selectors = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(keys, st.sampled_from(("", "a", "b")), min_size=1),
        "matchExpressions": st.lists(requirements, min_size=1, max_size=4),
    },
)


def holds(requirement: dict[str, Any], value: str | None) -> bool:
    match requirement["operator"]:
        case "In":
            return value in requirement["values"]
        case "NotIn":
            return value not in requirement["values"]
        case "Exists":
            return value is not None
        case _:
            return value is None


@given(label_selectors)
def test_the_box_holds_what_the_selector_selects(selector: dict[str, Any]) -> None:
    box = selectors.box(selector)
    for labelled in OBJECTS:
        expected = all(labelled.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
            holds(each, labelled.get(each["key"])) for each in selector.get("matchExpressions", [])
        )
        assert box.matches(labelled) == expected


def test_an_empty_selector_selects_everything() -> None:
    assert selectors.box({}) == LabelBox()


def test_conditions_that_contradict_each_other_select_nothing() -> None:
    contradiction = {"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}
    assert selectors.box(contradiction).empty
