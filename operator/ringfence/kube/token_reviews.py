"""What the API server says of a token: authentication.k8s.io/v1 TokenReview.

Pod, node and their uids come from the claims that a bound token carries and the API server repeats in ``extra``
(KEP-4193); the end comes from the token itself, once the API server has vouched for it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ringfence.kube import client, errors

_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_EXTRA: Final = "authentication.kubernetes.io/"
_USER: Final = "system:serviceaccount:"
#: Seconds that a review may take.
_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a ServiceAccount that the API server accepts; pod, uid and node are "" when it is not bound to one.

    ``expires`` in seconds since the epoch.
    """

    namespace: str
    service_account: str
    pod: str
    pod_uid: str
    node: str
    expires: float


class TokenReviews:
    """Asks the API server."""

    def __init__(self, api: client.Client) -> None:
        self._api = api

    async def review(self, token: str, audience: str) -> Token | None:
        """Whose token it is, None when it is not good for the audience or not a ServiceAccount's. Raises KubeError."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        try:
            answer = await self._api.request("POST", _PATH, body=body, timeout=_SECONDS)
        except errors.Rejected:
            return None
        return _read(answer.get("status") or {}, token, audience)


def _read(status: Mapping[str, Any], token: str, audience: str) -> Token | None:
    # A server that knows no audiences would accept a token made for somebody else: it does not repeat ours.
    if not status.get("authenticated") or audience not in (status.get("audiences") or ()):
        return None
    user = status.get("user") or {}
    name = str(user.get("username", ""))
    namespace, colon, account = name.removeprefix(_USER).partition(":")
    if not name.startswith(_USER) or not colon:
        return None
    extra = user.get("extra") or {}
    return Token(
        namespace=namespace,
        service_account=account,
        pod=_one(extra, "pod-name"),
        pod_uid=_one(extra, "pod-uid"),
        node=_one(extra, "node-name"),
        expires=_expires(token),
    )


def _one(extra: Mapping[str, Any], name: str) -> str:
    values = list(extra.get(_EXTRA + name) or ())
    return str(values[0]) if len(values) == 1 else ""


def _expires(token: str) -> float:
    """The claim ``exp`` of a token that is known to be good; 0 (long past) when it has none."""
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return 0.0
