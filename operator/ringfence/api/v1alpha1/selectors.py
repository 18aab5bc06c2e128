"""Kubernetes' LabelSelector: its schema, and what it selects as a LabelBox."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ringfence.api.schema import Choice, Complaint, Field, ListOf, MapOf, Obj, Rule
from ringfence.api.v1alpha1 import identifiers
from ringfence.model import labels
from ringfence.model.labels import LabelBox, ValueSet

_WITH_VALUES: Final = ("In", "NotIn")


def _values_fit(value: Mapping[str, Any]) -> Complaint | None:
    operator, given = value["operator"], "values" in value
    if operator in _WITH_VALUES and not given:
        return Complaint("is missing", f"{operator} needs values", at="values")
    if operator not in _WITH_VALUES and given:
        return Complaint(f"{operator} takes no values", "leave values out", at="values")
    return None


_REQUIREMENT: Final = Obj(
    description="A condition on one label.",
    fields=(
        Field(
            name="key",
            node=dataclasses.replace(identifiers.LABEL_KEY, description="The key of the label."),
            required=True,
        ),
        Field(
            name="operator",
            node=Choice(
                description="How the label is compared: In and NotIn with values, Exists and DoesNotExist without.",
                values=("In", "NotIn", "Exists", "DoesNotExist"),
            ),
            required=True,
        ),
        Field(
            name="values",
            node=ListOf(
                description="The values that In and NotIn compare with.",
                items=identifiers.LABEL_VALUE,
                max_items=64,
            ),
        ),
    ),
    rules=(
        Rule(
            test=_values_fit,
            cel="has(self.values) == (self.operator in ['In', 'NotIn'])",
            message="In and NotIn need values, Exists and DoesNotExist take none",
        ),
    ),
)


def selector(description: str, *, rules: tuple[Rule, ...] = ()) -> Obj:
    """The schema of a LabelSelector; without ``rules`` an empty one is allowed and selects everything."""
    return Obj(
        description=description,
        fields=(
            Field(
                name="matchLabels",
                node=MapOf(
                    description="Labels that must be there with these values.",
                    keys=identifiers.LABEL_KEY,
                    values=identifiers.LABEL_VALUE,
                    max_items=32,
                ),
            ),
            Field(
                name="matchExpressions",
                node=ListOf(description="Conditions that must all hold.", items=_REQUIREMENT, max_items=32),
            ),
        ),
        rules=rules,
        atomic=True,
    )


_SETS: Final[Mapping[str, Callable[[Sequence[str]], ValueSet]]] = {
    "In": lambda values: labels.one_of(*values),
    "NotIn": lambda values: labels.none_of(*values),
    "Exists": lambda _: labels.exists(),
    "DoesNotExist": lambda _: labels.missing(),
}


def box(value: Mapping[str, Any]) -> LabelBox:
    """What a well-formed LabelSelector selects; conditions that contradict each other give an empty box."""
    conditions: dict[str, ValueSet] = {key: labels.one_of(item) for key, item in value.get("matchLabels", {}).items()}
    for requirement in value.get("matchExpressions", ()):
        allowed = _SETS[requirement["operator"]](requirement.get("values", ()))
        key = requirement["key"]
        conditions[key] = conditions[key] & allowed if key in conditions else allowed
    return LabelBox.of(conditions)
