"""What must stay secret is not in a line, whatever way it came in."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence import logs

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token is {TOKEN}", TOKEN),
        (KEY, "MIGHAgEAMBMG"),
        (KEY.replace("\n", "\\n"), "MIGHAgEAMBMG"),
        ("data: {'tls.key': 'LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JR0g='}", "LS0tLS1CRUdJTiBQUklWQVRF"),
        ("Authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        ("password=hunter2", "hunter2"),
        ('"client_secret": "s3cr3t"', "s3cr3t"),
    ],
)
def test_secrets_are_blotted_out(text: str, secret: str) -> None:
    assert secret not in logs.redact(text)
    assert logs.REDACTED in logs.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "SecurityPolicy shop/payments rule checkout",
        "-----BEGIN CERTIFICATE-----",
        "10.0.0.1:6443 answered 403: authorization failed",
    ],
)
def test_the_rest_stays_readable(text: str) -> None:
    assert logs.redact(text) == text or "failed" not in text


_LOOK_ALIKES = ("author\u0131zation", "pa\u017f\u017fword", "api_\u212aey")
_WORDS = (
    "Authorization",
    "bearer",
    "Basic",
    "passwd",
    "client-secret",
    "apiKey",
    ":",
    "=",
    " ",
    '"',
    "s3cr3t-value",
    "ringfence",
)
_PIECES = st.sampled_from((TOKEN, KEY, "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t", *_WORDS, *_LOOK_ALIKES))


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_the_quick_look_misses_nothing(text: str) -> None:
    """Texts that are left alone are those in which the patterns find nothing."""
    with pytest.MonkeyPatch.context() as patch:
        quick = logs.redact(text)
        patch.setattr(logs, "_hinted", lambda lower: True)
        assert quick == logs.redact(text)


def test_json_lines_carry_what_came_with_them(restored: None) -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    log = logging.getLogger("ringfence.test")
    log.debug("not this")
    log.info("closing %s with %s", "shop", TOKEN, extra={"namespace": "shop", "token": f"Bearer {TOKEN}"})
    try:
        int(TOKEN)
    except ValueError:
        log.exception("failed")
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["level"], first["logger"], first["namespace"]) == ("info", "ringfence.test", "shop")
    assert first["message"] == f"closing shop with {logs.REDACTED}"
    assert "ValueError" in second["exception"]
    assert TOKEN not in stream.getvalue()


def test_text_is_for_people_and_redacted_too(restored: None) -> None:
    stream = io.StringIO()
    logs.configure("warning", "text", stream)
    logging.getLogger("ringfence.test").warning("token %s", TOKEN)
    assert "WARNING ringfence.test: token" in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_libraries_are_quiet(restored: None) -> None:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    logging.getLogger("kopf.objects").info("handled")
    logging.getLogger("aiohttp.access").debug("request")
    assert stream.getvalue() == ""
