from ringfence.controls import text
from ringfence.model.verdict import Violation

ONE = Violation(
    "privileged", "spec.containers[0].securityContext.privileged", "is true", "set it to false", "SecurityPolicy shop/x"
)


def test_a_sentence_says_field_value_fix_control_and_who_asked() -> None:
    assert text.sentence(ONE) == (
        "spec.containers[0].securityContext.privileged is true: set it to false "
        "[privileged, asked by SecurityPolicy shop/x]"
    )


def test_one_reason_fits_in_one_line_and_more_get_one_each() -> None:
    assert "\n" not in text.refusal("Pod shop/x", [ONE])
    lines = text.refusal("Pod shop/x", [ONE, ONE]).splitlines()
    assert lines[0] == "Ringfence refuses Pod shop/x for 2 reasons:"
    assert len(lines) == 3


def test_ten_thousand_violations_stay_legible() -> None:
    message = text.refusal("Pod shop/x", [ONE] * 10_000)
    assert message.endswith("- and 9980 more")
    assert len(message.splitlines()) == text.SHOWN + 2


def test_controls_are_named_once_and_sorted() -> None:
    assert text.controls([ONE, Violation("apparmor", "f", "m", "x"), ONE]) == "apparmor,privileged"
