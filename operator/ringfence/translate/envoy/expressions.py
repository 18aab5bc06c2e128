"""Expressions (CEL) that are made as messages, as the text that a format of the log takes."""

from typing import Final

from ringfence.translate.envoy.messages import Message

_BETWEEN: Final = {
    "_&&_": "&&",
    "_||_": "||",
    "_==_": "==",
    "_>=_": ">=",
    "_<=_": "<=",
    "_<_": "<",
    "_+_": "+",
    "_-_": "-",
    "@in": "in",
}


def text(expression: Message) -> str:
    """The text that means the same; raises ValueError for a kind of expression that Ringfence does not make."""
    match expression.WhichOneof("expr_kind"):
        case "ident_expr":
            return str(expression.ident_expr.name)
        case "select_expr":
            return f"{text(expression.select_expr.operand)}.{expression.select_expr.field}"
        case "list_expr":
            return f"[{', '.join(map(text, expression.list_expr.elements))}]"
        case "const_expr":
            return _constant(expression.const_expr)
        case "call_expr":
            return _call(expression.call_expr)
        case kind:
            raise ValueError(f"{kind} has no text")


def _call(call: Message) -> str:
    name, arguments = call.function, [text(each) for each in call.args]
    if call.HasField("target"):
        return f"{text(call.target)}.{name}({', '.join(arguments)})"
    if name in _BETWEEN:
        return f"({arguments[0]} {_BETWEEN[name]} {arguments[1]})"
    match name:
        case "_[_]":
            return f"{arguments[0]}[{arguments[1]}]"
        case "_?_:_":
            return f"({arguments[0]} ? {arguments[1]} : {arguments[2]})"
        case "!_":
            return f"!{arguments[0]}"
        case _:
            return f"{name}({', '.join(arguments)})"


def _constant(constant: Message) -> str:
    match constant.WhichOneof("constant_kind"):
        case "string_value":
            quoted = constant.string_value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{quoted}'"
        case "double_value":
            return repr(constant.double_value)
        case "int64_value":
            return str(constant.int64_value)
        case kind:
            raise ValueError(f"a constant that is {kind} has no text")
