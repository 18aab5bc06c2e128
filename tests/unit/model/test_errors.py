"""Errors name the field, the mistake and the fix."""

from ringfence.model.errors import FieldError, InvalidResource


def test_a_field_error_reads_as_a_sentence() -> None:
    assert str(FieldError("spec.mode", '"x" is not one of Enforce, Audit', "write Audit")) == (
        'spec.mode: "x" is not one of Enforce, Audit (write Audit)'
    )
    assert str(FieldError("spec", "is missing")) == "spec: is missing"


def test_an_invalid_resource_holds_its_errors_sorted() -> None:
    errors = (FieldError("spec.b", "is missing"), FieldError("spec.a", "is empty"))
    invalid = InvalidResource("SecurityPolicy", "shop", errors)
    assert invalid.errors == (errors[1], errors[0])
    assert str(invalid) == "SecurityPolicy shop: spec.a: is empty; spec.b: is missing"
