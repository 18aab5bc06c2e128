import time

import pytest
from ringfence.controls import credentials
from ringfence.controls.credentials_environment import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec
from tests.unit.controls.secrets_made_up import ALNUM, FORMS, UPPER
from tests.unit.controls.test_credentials import UNITS


def variables(**values: str | None) -> dict:
    return {"env": [{"name": name, "value": value} for name, value in values.items()]}


@pytest.mark.parametrize(("what", "text"), FORMS.items())
def test_forms_are_refused_under_any_name_and_never_shown(what: str, text: str) -> None:
    (told,) = complaints(CONTROL, spec(variables(A="x", SETTING=text)))
    assert told.field == "spec.containers[0].env[1].value"
    assert what in told.message
    assert '"SETTING"' in told.message
    for part in (ALNUM[:8], UPPER[:8], "hunter"):
        assert part not in told.message + told.fix


def test_names_that_say_credential_are_refused_and_the_value_never_shown() -> None:
    (told,) = complaints(CONTROL, spec(variables(DB_PASSWORD="hunter22")))
    assert told.field == "spec.containers[0].env[0].value"
    assert told.message == (
        'is a credential by its name and has a value ("****") in variable "DB_PASSWORD" of container "c0"'
    )


@pytest.mark.parametrize(
    "container",
    [
        {},
        variables(
            A="x", PATH="/bin", DB_PASSWORD_FILE="/run/secrets/db", DB_PASSWORD=None, API_KEY="", TOKEN="$(OTHER)"
        ),
        {"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]},
        {"envFrom": [{"secretRef": {"name": "db"}}]},
    ],
)
def test_what_is_not_written_out_passes(container: dict) -> None:
    assert asked(CONTROL, spec(container)) == []


def test_the_policy_names_more() -> None:
    container = variables(PIN="1234", pin="1234")
    assert asked(CONTROL, spec(container)) == []
    assert asked(CONTROL, spec(container), "PIN") == ["spec.containers[0].env[0].value"]


def test_a_value_that_is_too_long_to_look_through_is_refused() -> None:
    (told,) = complaints(CONTROL, spec(variables(A="x" * (credentials.MAX_TEXT + 1))))
    assert "32768" in told.message
    assert len(told.message) < 300
    assert asked(CONTROL, spec(variables(A="x" * credentials.MAX_TEXT))) == []


def test_more_than_can_be_looked_through_in_a_pod_is_refused() -> None:
    half = variables(A="x" * (credentials.MAX_TEXTS // 4), B="y" * (credentials.MAX_TEXTS // 4))
    assert asked(CONTROL, spec(half, half)) == []
    assert asked(CONTROL, spec(half, half, variables(C="z"))) == ["spec.containers[2].env"]


def test_a_pod_made_to_take_long_does_not() -> None:
    texts = [unit * (credentials.MAX_TEXT // len(unit)) for unit in UNITS]
    container = {"env": [{"name": f"A{number}", "value": text} for number, text in enumerate(texts)]}
    start = time.process_time()
    for _ in range(10):
        assert asked(CONTROL, spec(*[container] * 4)) == ["spec.containers[0].env"]
    assert time.process_time() - start < 1


def test_every_kind_of_container_is_judged() -> None:
    assert asked(CONTROL, every_kind(variables(TOKEN="x1"))) == [f"{each}.env[0].value" for each in EVERY_KIND]
