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


def test_kubernetes_words_and_the_standard_are_said_where_there_are_any() -> None:
    asked = Violation("sysctls", "f", "m", "x", "SecurityPolicy shop/x", "baseline:v1.27", "forbidden sysctls")
    assert text.sentence(asked) == (
        "f m: x [sysctls (forbidden sysctls), asked by SecurityPolicy shop/x, baseline:v1.27]"
    )


def test_the_enrolment_asks_for_no_standard_and_a_reason_is_not_said_twice() -> None:
    asked = Violation("privileged", "f", "m", "x", "the enrolment of the namespace", "", "privileged")
    assert text.source(asked) == "privileged, asked by the enrolment of the namespace"


def test_what_is_too_long_loses_the_fix_and_keeps_who_asked() -> None:
    long = Violation("privileged", "spec.x", "is true", "y" * 300, "SecurityPolicy shop/x", "baseline:latest")
    (line,) = text.sentences([long], "lead: ", 120)
    assert len(line) == 120
    assert line.startswith("lead: spec.x is true: yyy")
    assert line.endswith("y… [privileged, asked by SecurityPolicy shop/x, baseline:latest]")


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
