"""Callers decide by the class of an error, so each status must become the right one."""

import pytest
from ringfence.kube import errors
from ringfence.model.errors import RingfenceError, WriteRefused


@pytest.mark.parametrize(
    ("status", "kind", "retriable"),
    [
        (400, errors.Rejected, False),
        (401, errors.Forbidden, False),
        (403, errors.Forbidden, False),
        (404, errors.NotFound, False),
        (409, errors.Conflict, False),
        (410, errors.Expired, False),
        (422, errors.Rejected, False),
        (429, errors.Throttled, True),
        (500, errors.ServerError, True),
        (503, errors.ServerError, True),
    ],
)
def test_status_becomes_a_class(status: int, kind: type[errors.KubeError], retriable: bool) -> None:
    error = errors.of_status("GET /x", status, {"message": "because", "reason": "Some"})
    assert type(error) is kind
    assert error.retriable is retriable
    assert (str(error), error.status, error.reason) == ("GET /x: because", status, "Some")
    assert isinstance(error, RingfenceError)


def test_the_reason_is_finer_than_the_status() -> None:
    assert type(errors.of_status("", 409, {"reason": "AlreadyExists"})) is errors.AlreadyExists
    assert type(errors.of_status("", 410, {"reason": "Expired"})) is errors.Expired


def test_only_a_refused_content_is_a_refused_write() -> None:
    assert isinstance(errors.of_status("", 422, None), WriteRefused)
    assert not isinstance(errors.of_status("", 403, None), WriteRefused)


def test_an_answer_without_a_status_object_still_says_something() -> None:
    assert str(errors.of_status("GET /x", 502, None)) == "GET /x: HTTP 502"


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), (None, 0.0), ("soon", 0.0), ("-1", 0.0), ("900", 60.0)])
def test_retry_after_is_believed_within_reason(header: str | None, seconds: float) -> None:
    assert errors.of_status("", 429, None, header).retry_after == seconds
