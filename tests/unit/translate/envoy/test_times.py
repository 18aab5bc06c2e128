"""Conditions on the time as CEL: evaluated here by hand, as the functions are defined."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.requests import TimeCondition
from ringfence.translate.envoy import times

from tests.unit.model.test_windows import MOMENTS, around, windows

_FUNCTIONS = {
    "_+_": lambda a, b: a + b,
    "_%_": lambda a, b: a % b,
    "_<_": lambda a, b: a < b,
    "_>=_": lambda a, b: a >= b,
    "_&&_": lambda a, b: a and b,
    "_||_": lambda a, b: a or b,
    "!_": lambda a: not a,
    "int": lambda a: a,
}


def value(expression: Any, time: int) -> Any:
    match expression.WhichOneof("expr_kind"):
        case "const_expr":
            return getattr(expression.const_expr, expression.const_expr.WhichOneof("constant_kind"))
        case "select_expr":
            assert expression.select_expr.field == "time"
            assert expression.select_expr.operand.ident_expr.name == "request"
            return time
        case "call_expr":
            called = expression.call_expr
            return _FUNCTIONS[called.function](*(value(each, time) for each in called.args))
    raise AssertionError(expression)


CONDITIONS = st.builds(TimeCondition, st.lists(windows(), min_size=1, max_size=2).map(tuple), st.booleans())


@given(st.lists(CONDITIONS, min_size=1, max_size=2), MOMENTS)
def test_the_expression_is_true_while_all_conditions_hold(conditions: list[TimeCondition], moment: int) -> None:
    expression = times.expression(conditions)
    edges = [m for each in conditions for window in each.windows for m in around(window)]
    for time in (moment, *(each for each in edges if each >= 0)):
        holds = all(any(w.holds(time) for w in each.windows) is not each.outside for each in conditions)
        assert value(expression, time) is holds


def test_without_conditions_there_is_none() -> None:
    assert times.expression(()) is None
