"""What is taken from a TokenReview: nothing that the API server has not vouched for."""

import asyncio
import base64
import json
from typing import Any

import pytest
from ringfence.kube import errors
from ringfence.kube.token_reviews import Token, TokenReviews

AUDIENCE = "proxyd.ringfence.dev"
EXTRA = "authentication.kubernetes.io/"


def token(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"head.{payload}.signature"


class Api:
    """Answers with a status, or an error."""

    def __init__(self, status: dict[str, Any], error: Exception | None = None) -> None:
        self.status = status
        self.error = error
        self.body: dict[str, Any] = {}

    async def request(self, method: str, path: str, *, body: dict[str, Any], **_: Any) -> dict[str, Any]:
        assert (method, path) == ("POST", "/apis/authentication.k8s.io/v1/tokenreviews")
        self.body = body
        if self.error is not None:
            raise self.error
        return {"status": self.status}


def review(status: dict[str, Any], text: str = "", error: Exception | None = None) -> Token | None:
    api = Api(status, error)
    found = asyncio.run(TokenReviews(api).review(text or token(exp=1000), AUDIENCE))  # type: ignore[arg-type]
    assert api.body["spec"]["audiences"] == [AUDIENCE]
    return found


def good(**changes: Any) -> dict[str, Any]:
    extra = {f"{EXTRA}pod-name": ["web-1"], f"{EXTRA}pod-uid": ["uid-1"], f"{EXTRA}node-name": ["node-1"]}
    user = {"username": "system:serviceaccount:shop:web", "extra": extra}
    return {"authenticated": True, "audiences": [AUDIENCE], "user": user, **changes}


def test_a_token_of_a_pod() -> None:
    assert review(good()) == Token("shop", "web", "web-1", "uid-1", "node-1", 1000.0)


@pytest.mark.parametrize(
    "status",
    [
        {},
        good(authenticated=False),
        good(audiences=["https://kubernetes.default.svc"]),
        good(audiences=None),
        good(user={"username": "alice"}),
        good(user={"username": "system:serviceaccount:shop"}),
        good(user={"username": "system:node:node-1"}),
    ],
)
def test_anything_else_is_nobody(status: dict[str, Any]) -> None:
    assert review(status) is None


def test_what_is_not_said_once_is_not_said() -> None:
    two = good()
    two["user"]["extra"] = {f"{EXTRA}pod-name": ["web-1", "web-2"]}
    found = review(two)
    assert found is not None
    assert (found.pod, found.pod_uid, found.node) == ("", "", "")


@pytest.mark.parametrize("text", ["a.b.c", token(), token(exp="soon"), "a.!.c"])
def test_a_token_without_an_end_has_ended(text: str) -> None:
    found = review(good(), text)
    assert found is not None
    assert found.expires == 0.0


def test_a_review_that_is_refused_as_malformed_is_a_no_and_one_that_fails_is_an_error() -> None:
    assert review({}, error=errors.Rejected("malformed", status=400)) is None
    with pytest.raises(errors.Unreachable):
        review({}, error=errors.Unreachable("away"))
