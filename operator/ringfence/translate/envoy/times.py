"""Conditions on the time as Envoy's expressions (CEL); the meaning is that of model.windows.

An expression that fails is no match, so that a Deny would not hold. These cannot fail: every request has a time, it is
turned into a whole number, and such numbers are compared and divided by a constant.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any, Final

from google.api.expr.v1alpha1 import syntax_pb2

from ringfence.model.requests import TimeCondition
from ringfence.model.windows import WEEK, Window, second_of_week
from ringfence.translate.envoy.messages import Message

_Cel: Final = syntax_pb2.Expr


def expression(conditions: Iterable[TimeCondition]) -> Message | None:
    """What is true of requests for which all conditions hold; None for no condition."""
    found = [_condition(each) for each in conditions]
    return _joined("_&&_", found) if found else None


def _condition(condition: TimeCondition) -> Message:
    inside = _joined("_||_", [_window(each) for each in condition.windows])
    return _call("!_", inside) if condition.outside else inside


def _window(window: Window) -> Message:
    parts = []
    if window.not_before is not None:
        parts.append(_call("_>=_", _seconds(), _number(window.not_before)))
    if window.not_after is not None:
        parts.append(_call("_<_", _seconds(), _number(window.not_after)))
    spans = window.spans()
    if spans != ((0, WEEK),):
        second = _call("_%_", _call("_+_", _seconds(), _number(second_of_week(0))), _number(WEEK))
        parts.append(
            _joined(
                "_||_",
                [
                    _call("_&&_", _call("_>=_", second, _number(first)), _call("_<_", second, _number(last)))
                    for first, last in spans
                ],
            )
        )
    return _joined("_&&_", parts) if parts else _cel(const_expr=syntax_pb2.Constant(bool_value=True))


def _seconds() -> Message:
    request = _cel(ident_expr=_Cel.Ident(name="request"))
    return _call("int", _cel(select_expr=_Cel.Select(operand=request, field="time")))


def _number(value: int) -> Message:
    return _cel(const_expr=syntax_pb2.Constant(int64_value=value))


def _joined(function: str, parts: list[Message]) -> Message:
    return reduce(lambda one, other: _call(function, one, other), parts)


def _call(function: str, *arguments: Message) -> Message:
    return _cel(call_expr=_Cel.Call(function=function, args=arguments))


def _cel(**what: Any) -> Message:
    return _Cel(**what)
