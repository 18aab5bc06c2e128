import pytest
from ringfence.translate import cel


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", '"a"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ("\n", '"\\n"'),
        (("a", "b"), '["a", "b"]'),
        ([], "[]"),
        ("é", '"\\u00e9"'),
    ],
)
def test_values_enter_as_literals(value: str | list[str], expected: str) -> None:
    assert cel.literal(value) == expected


def test_terms_keep_their_precedence() -> None:
    assert cel.both("a || b", "c") == "(a || b) && (c)"
    assert cel.either("a && b", "c") == "(a && b) || (c)"


def test_order_of_variables_is_kept() -> None:
    assert [each["name"] for each in cel.named({"b": "1", "a": "2"})] == ["b", "a"]
