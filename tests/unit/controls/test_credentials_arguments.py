import pytest
from ringfence.controls import credentials
from ringfence.controls.credentials_arguments import CONTROL

from tests.unit.controls.samples import EVERY_KIND, asked, complaints, every_kind, spec
from tests.unit.controls.secrets_made_up import ALNUM, FORMS, UPPER


@pytest.mark.parametrize(("what", "text"), FORMS.items())
def test_forms_are_refused_and_never_shown(what: str, text: str) -> None:
    (told,) = complaints(CONTROL, spec({"args": ["run", text]}))
    assert told.field == "spec.containers[0].args[1]"
    assert what in told.message
    for part in (ALNUM[:8], UPPER[:8], "hunter"):
        assert part not in told.message + told.fix


@pytest.mark.parametrize(
    ("words", "index"),
    [
        (["--password=hunter22"], 0),
        (["-password=hunter22"], 0),
        (["/password=hunter22"], 0),
        (["password=hunter22"], 0),
        (["-Dspring.datasource.password=hunter22"], 0),
        (["--db-password", "hunter22"], 1),
        (["--token", "$hunter22!"], 1),
        (["sh", "-c", "PGPASSWORD=hunter22 psql"], 2),
        (["sh", "-c", "export API_KEY='hunter22'; run"], 2),
        (["sh", "-c", "run --api-key hunter22"], 2),
        (["sh", "-c", "true&&run --api-key=hunter22|cat"], 2),
        (["sh", "-c", "a\nTOKEN=hunter22\n"], 2),
    ],
)
def test_values_of_flags_and_variables_are_refused(words: list[str], index: int) -> None:
    for field in ("command", "args"):
        (told,) = complaints(CONTROL, spec({field: words}))
        assert told.field == f"spec.containers[0].{field}[{index}]"
        assert "hunter" not in told.message + told.fix


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--password-file=/run/secrets/db"],
        ["--password-file", "/run/secrets/db"],
        ["--password=$(DB_PASSWORD)"],
        ["--password", "$(DB_PASSWORD)"],
        ["--password"],
        ["--password", "--verbose"],
        ["--password", ""],
        ["--password="],
        ["--require-password", "true"],
        ["--tokens", "5"],
        ["sh", "-c", 'psql "postgres://till:${PASSWORD}@db/shop"'],
        ["sh", "-c", "PGPASSWORD=$PASSWORD psql"],
        ["sh", "-c", 'TOKEN="$(TOKEN)" run'],
        ["sh", "-c", "cat /run/secrets/token | run --token-stdin"],
        ["--listen=:8080", "--upstream=https://api.example/v1"],
    ],
)
def test_files_and_variables_pass(words: list[str]) -> None:
    assert asked(CONTROL, spec({"args": words})) == []


def test_the_policy_names_more() -> None:
    container = {"args": ["--pin=1234", "--pin", "1234"]}
    assert asked(CONTROL, spec(container)) == []
    assert asked(CONTROL, spec(container), "pin") == ["spec.containers[0].args[0]", "spec.containers[0].args[2]"]


HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe")


def test_probes_and_hooks_are_judged() -> None:
    run = {"exec": {"command": ["check", "--token=hunter22"]}}
    request = {"httpGet": {"httpHeaders": [{"name": "Host", "value": "a"}, {"name": "Authorization", "value": "x"}]}}
    container = {**dict.fromkeys(HANDLERS, run), "lifecycle": {"postStart": run, "preStop": request}}
    names = [*HANDLERS, "lifecycle.postStart"]
    assert asked(CONTROL, spec(container)) == [
        *(f"spec.containers[0].{name}.exec.command[1]" for name in names),
        "spec.containers[0].lifecycle.preStop.httpGet.httpHeaders[1].value",
    ]


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("X-Api-Key", "hunter22", True),
        ("cookie", "a=b", True),
        ("X-Anything", FORMS["a token of GitHub"], True),
        ("X-Anything", "x" * (credentials.MAX_TEXT + 1), True),
        ("Accept", "text/plain", False),
        ("Authorization", "", False),
    ],
)
def test_headers(name: str, value: str, refused: bool) -> None:
    container = {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": name, "value": value}]}}}
    told = complaints(CONTROL, spec(container))
    assert [each.field for each in told] == ["spec.containers[0].livenessProbe.httpGet.httpHeaders[0].value"] * refused
    assert not refused or value not in told[0].message


def test_a_word_that_is_too_long_to_look_through_is_refused() -> None:
    assert asked(CONTROL, spec({"args": ["x" * (credentials.MAX_TEXT + 1)]})) == ["spec.containers[0].args[0]"]


def test_more_than_can_be_looked_through_in_a_pod_is_refused() -> None:
    half = {"args": ["x" * (credentials.MAX_TEXTS // 4)] * 2}
    probe = {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "a", "value": "z"}]}}}
    assert asked(CONTROL, spec(half, half)) == []
    assert asked(CONTROL, spec(half, half, {"command": ["z"]})) == ["spec.containers[2].command"]
    assert asked(CONTROL, spec(half, half, probe)) == ["spec.containers[2].livenessProbe.httpGet.httpHeaders"]


def test_every_kind_of_container_is_judged() -> None:
    fields = asked(CONTROL, every_kind({"args": ["--token=x1"], "command": ["--token", "x1"]}))
    assert fields == [f"{each}.{field}" for each in EVERY_KIND for field in ("command[1]", "args[0]")]
