from typing import Any

import pytest

from e2e.enforcer import selectors


def expression(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": "app", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "labels", "result"),
    [
        ({}, {}, True),
        ({"matchLabels": {"app": "a"}}, {"app": "a", "tier": "b"}, True),
        ({"matchLabels": {"app": "a"}}, {"app": "b"}, False),
        ({"matchLabels": {"app": ""}}, {}, False),
        ({"matchLabels": {"app": ""}}, {"app": ""}, True),
        (expression("In", "a", "b"), {"app": "b"}, True),
        (expression("In", "a"), {}, False),
        (expression("NotIn", "a"), {"app": "b"}, True),
        (expression("NotIn", "a"), {"app": "a"}, False),
        (expression("NotIn", "a"), {}, True),
        (expression("Exists"), {"app": ""}, True),
        (expression("Exists"), {}, False),
        (expression("DoesNotExist"), {}, True),
        (expression("DoesNotExist"), {"app": ""}, False),
        ({"matchLabels": {"app": "a"}, **expression("NotIn", "a")}, {"app": "a"}, False),
    ],
)
def test_every_requirement_must_hold(selector: dict[str, Any], labels: dict[str, str], result: bool) -> None:
    assert selectors.matches(selector, labels) is result


def test_an_operator_that_is_not_known_is_an_error_and_not_a_mismatch() -> None:
    with pytest.raises(ValueError, match="operator 'Near'"):
        selectors.matches(expression("Near", "a"), {"app": "a"})
