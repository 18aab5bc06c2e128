"""What is taken for a credential and what is not, and that looking for it takes no longer for any text."""

import time

import pytest
from ringfence.controls import credentials

from tests.unit.controls.secrets_made_up import ALNUM, FORMS, OTHERS, UPPER

EVERY_FORM = [(what, text) for what, text in FORMS.items()] + [
    (w, text) for w, texts in OTHERS.items() for text in texts
]


SAYING = """
PASSWORD password DB_PASSWORD dbPassword DBPassword PGPASSWORD MYSQL_PWD API_KEY apiKey APIKEY STRIPE_API_KEY X-API-Key
ACCESS_KEY AWS_SECRET_ACCESS_KEY SECRET CLIENT_SECRET TOKEN GITHUB_TOKEN refresh_token PRIVATE_KEY ENCRYPTION_KEY
SMTP_PASS PASSPHRASE CREDENTIALS spring.datasource.password SECRET_KEY_BASE auth-token
"""
OTHER_NAMES = """
_ PWD OLDPWD PATH DB_PASSWORD_FILE TOKEN_PATH SECRET_NAME TOKEN_URL TOKEN_TTL AWS_ACCESS_KEY_ID MAX_TOKENS KEYCLOAK_URL
PUBLIC_KEY TOKENIZER BYPASS COMPASS SECRETARY PASSWORD_MIN_LENGTH TOKEN_REFRESH_INTERVAL CACHE_KEY \u0440assword_\u0430
"""
#: What texts that would make a careless pattern start over and over again are made of.
UNITS = [
    *(
        "eyJ",
        "eyJ" + "a" * 8 + ".",
        "eyJaaaaaaaa.eyJaaaaaaaa.",
        "://",
        "://a:",
        "://a:b",
        "-----BEGIN ",
        "-----BEGIN A ",
    ),
    *(
        "AKIA",
        "ghp_",
        "glpat-",
        "xoxb-",
        "Bearer ",
        "earer ",
        "AccountKey=",
        "a=",
        " a=",
        "--a ",
        " -",
        "pypi-",
        "hvs.",
    ),
    *("aA", "_", "=", "a", "-", " "),
]


def found(text: str, *, in_shell: bool = False) -> str:
    form = credentials.found(text, credentials.possible([text]), in_shell=in_shell)
    return form.what if form else ""


@pytest.mark.parametrize(("what", "text"), EVERY_FORM)
def test_forms_are_found_wherever_they_stand(what: str, text: str) -> None:
    assert found(text) == what
    assert found(f"set -e; export X='{text}'; run") == what


@pytest.mark.parametrize(("what", "text"), FORMS.items())
def test_what_a_message_shows_holds_nothing_of_the_credential(what: str, text: str) -> None:
    form = credentials.found(text, credentials.possible([text]))
    assert form is not None
    assert credentials.MASK in form.shows or form.what == "a private key"
    assert ALNUM[:8] not in form.shows
    assert UPPER[:8] not in form.shows
    assert "hunter" not in form.shows


def test_every_form_has_a_sample() -> None:
    assert {form.what for form in credentials.FORMS} | {"a URL with a password in it"} == set(FORMS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "value of a setting",
        "https://api.example:8443/charges?a=b@c",
        "https://user@host.example/",
        "http://[2001:db8::1]:80/",
        "postgres://till:$(DB_PASSWORD)@db/shop",
        "postgres://db:5432/shop",
        "registry.example/app@sha256:" + "0" * 64,
        "eyJhbGciOi",
        "eyJ.eyJ.x",
        "ghp_short",
        "AKIA",
        "xAKIA" + UPPER[:16],
        "AKIA" + UPPER[:17],
        "-----BEGIN " + "PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "Bearer $(TOKEN)",
        "Bearer ${TOKEN}",
        "bearer of good news",
        "basic tests",
        "sk_live_",
        "my_npm_registry",
    ],
)
def test_what_is_none_is_not_found(text: str) -> None:
    assert found(text) == ""


@pytest.mark.parametrize("reference", ["$(PASSWORD)", "${PASSWORD}", "$PASSWORD"])
def test_in_a_shell_its_variables_may_stand_for_a_password(reference: str) -> None:
    text = f"psql postgres://till:{reference}@db/shop"
    assert found(text, in_shell=True) == ""
    assert bool(found(text)) == (not reference.startswith("$("))


@pytest.mark.parametrize("name", SAYING.split())
def test_names_that_say_credential(name: str) -> None:
    assert credentials.named(name)


@pytest.mark.parametrize("name", ["", *OTHER_NAMES.split()])
def test_names_that_do_not(name: str) -> None:
    assert not credentials.named(name)


@pytest.mark.parametrize("value", ["hunter2", "-1", "2", "prefix$(X)", "$(X)suffix", "$X", "${X}"])
def test_values_that_are_written_out(value: str) -> None:
    assert credentials.literal(value)


@pytest.mark.parametrize("value", ["", "true", "False", "0", "none", "$(DB_PASSWORD)"])
def test_values_that_are_not(value: str) -> None:
    assert not credentials.literal(value)


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_long(unit: str) -> None:
    for text in (unit * (credentials.MAX_TEXT // len(unit)), unit + unit[-1] * (credentials.MAX_TEXT - len(unit))):
        start = time.process_time()
        credentials.found(text, credentials.possible([text]), in_shell=True)
        list(credentials.assigned(text))
        credentials.named(text)
        assert time.process_time() - start < 0.5
