"""What can go wrong between Ringfence and the API server, in words of its own.

Whatever the HTTP library or the Kubernetes client raises is translated here, so that the callers decide by class and
a change of the library stays inside this package.
"""

from collections.abc import Mapping
from typing import Any

from ringfence.model.errors import RingfenceError, WriteRefused


class KubeError(RingfenceError):
    """A request to the API server that did not succeed.

    ``status`` is the HTTP status (0 when no answer came), ``reason`` the API's own code (``NotFound``, ``Conflict``),
    ``retry_after`` the seconds that the server asked to wait (0 when it did not).
    """

    retriable = False

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)


class Unreachable(KubeError):
    """No answer: connection refused, reset, cut in the middle, or too slow."""

    retriable = True


class ServerError(KubeError):
    """5xx: the API server or etcd behind it is in trouble, or still starting."""

    retriable = True


class Throttled(KubeError):
    """429: too many requests; ``retry_after`` says when to come back."""

    retriable = True


class NotFound(KubeError):
    """404: the object or its namespace is not there, or the API does not know the kind."""


class AlreadyExists(KubeError):
    """409 on a create: somebody was quicker."""


class Conflict(KubeError):
    """409: the object has changed since it was read (resourceVersion), or is another one (uid)."""


class Expired(KubeError):
    """410: the version to watch from, or to continue a list at, is gone: list again."""


class Rejected(KubeError, WriteRefused):
    """400, 422 and the like: the API server understood and said no; trying again would not help."""


class Forbidden(KubeError):
    """401 or 403: credentials or rights are missing, an admission policy refused, or the namespace is terminating."""


class LeadershipLost(KubeError):
    """A write that was not sent, because this process is not (any more) the one that may write."""


_BY_STATUS: Mapping[int, type[KubeError]] = {
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    429: Throttled,
}


def of_status(what: str, status: int, body: Mapping[str, Any] | None, retry_after: str | None = None) -> KubeError:
    """The error for an answer that is not a success; ``what`` names the request, ``body`` is its decoded Status."""
    body = body or {}
    reason = str(body.get("reason", ""))
    message = str(body.get("message", "")) or f"HTTP {status}"
    kind = _BY_STATUS.get(status) or (ServerError if status >= 500 else Rejected)
    if reason == "AlreadyExists":
        kind = AlreadyExists
    if reason == "Expired":
        kind = Expired
    return kind(f"{what}: {message}", status=status, reason=reason, retry_after=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float:
    """Kubernetes sends whole seconds; anything else counts as not said. At most a minute is believed."""
    if retry_after is None or not retry_after.isascii() or not retry_after.isdigit():
        return 0.0
    return min(float(retry_after), 60.0)
