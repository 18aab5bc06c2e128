"""Expressions as text: what is not known has none, and a text cannot end early."""

from collections.abc import Callable

import pytest
from cel.expr import syntax_pb2
from ringfence.model.tokens import Issuer
from ringfence.translate.envoy import expressions, good

TEXT = good._text
NAME = syntax_pb2.Expr(ident_expr=syntax_pb2.Expr.Ident(name="a"))


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: good._call("_&&_", good._in("x", NAME), good._call("!_", NAME)), "(('x' in a) && !a)"),
        (lambda: good._call("_<_", good._at(NAME, "b"), good._number(2.0**53)), "(a['b'] < 9007199254740992.0)"),
        (lambda: good._call("_?_:_", NAME, TEXT("x"), good._select(NAME, "y")), "(a ? 'x' : a.y)"),
        (lambda: good._call("matches", TEXT("^\\.$"), target=NAME), "a.matches('^\\\\.$')"),
        (lambda: good._call("int", NAME), "int(a)"),
        (lambda: good._at(NAME, "b"), "a['b']"),
        (lambda: syntax_pb2.Expr(const_expr=syntax_pb2.Constant(int64_value=342)), "342"),
        (lambda: TEXT("it's \\"), "'it\\'s \\\\'"),
        (lambda: syntax_pb2.Expr(list_expr=syntax_pb2.Expr.CreateList(elements=[NAME, TEXT("x")])), "[a, 'x']"),
    ],
)
def test_an_expression_has_a_text(made: Callable[[], syntax_pb2.Expr], text: str) -> None:
    assert expressions.text(made()) == text


@pytest.mark.parametrize(
    "unknown",
    [
        syntax_pb2.Expr(),
        syntax_pb2.Expr(const_expr=syntax_pb2.Constant(bool_value=True)),
        syntax_pb2.Expr(struct_expr=syntax_pb2.Expr.CreateStruct()),
    ],
)
def test_what_is_never_made_has_none(unknown: syntax_pb2.Expr) -> None:
    with pytest.raises(ValueError, match="has no text"):
        expressions.text(unknown)


def test_every_question_has_words_of_its_issuer_and_none_of_a_token() -> None:
    corp = Issuer("corp", "https://corp.example", ("pay",), "{}", max_lifetime=3600)
    said = good.why_not(":cluster/corp", corp, "bad cluster/corp")
    assert all(words and words in said for _, words in good._questions(":cluster/corp", corp))
    assert "maxLifetime (3600 seconds)" in said
    # A sign of per cent would end it in the format.
    assert "%" not in said
