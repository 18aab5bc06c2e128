"""Whether the process is alive and whether it may be asked, over plain HTTP beside the metrics.

Ready means: every cache is complete and not stale, a certificate is there, every enrolled namespace has a policy, and a
review was judged as it should be just now.
"""

import json
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ringfence.caches import Caches
from ringfence.webhook import selftest
from ringfence.webhook.app import Receive, Scope, Send
from ringfence.webhook.cache import CachedView
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.tls import Certificate

#: Seconds without a word from the API server after which what the caches hold is too old to decide by.
STALE: Final = 60.0


class Readiness:
    """Says what stands in the way."""

    def __init__(
        self,
        caches: Caches,
        certificate: Certificate,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._caches = caches
        self._certificate = certificate
        self._now = now
        self._monotonic = monotonic
        #: Set once the first lists are complete and were compiled.
        self.compiled = False
        #: Set when the process is about to end.
        self.draining = False

    def stale_seconds(self) -> float:
        """Of the worst watch."""
        return self._caches.stale_for(self._monotonic())

    def troubles(self) -> list[str]:
        """Everything that keeps the process from being asked; empty when it is ready."""
        found = []
        if self.draining:
            found.append("the process is ending")
        if not self._caches.synced or not self.compiled:
            found.append("the caches are not complete yet")
        if self.stale_seconds() > STALE:
            found.append(f"a watch has been silent for {self.stale_seconds():.0f} s")
        if self._certificate.ends <= self._now():
            found.append("there is no serving certificate that is valid now")
        # A namespace whose policy cannot be told is refused by itself (view.NoPolicy); were the whole process not ready
        # for it, one namespace would close all, and nobody could mend the policy that is to blame.
        if trouble := selftest.trouble():
            found.append(trouble)
        return found


class HealthApp:
    """An ASGI application: /healthz, /readyz, /metrics."""

    def __init__(self, readiness: Readiness, view: CachedView, certificate: Certificate, metrics: Metrics) -> None:
        self._readiness = readiness
        self._view = view
        self._certificate = certificate
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        del receive
        if scope["type"] != "http":
            return
        status, media, body = self._respond(scope["path"])
        headers = [(b"content-type", media.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _respond(self, path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            return 200, "text/plain", b"ok\n"
        if path == "/readyz":
            troubles = self._readiness.troubles()
            report = {"ready": not troubles, "troubles": troubles, "revision": self._view.revision}
            return (503 if troubles else 200), "application/json", json.dumps(report).encode() + b"\n"
        if path == "/metrics":
            self._metrics.stale_seconds.set(self._readiness.stale_seconds())
            self._metrics.revision.set(self._view.revision)
            self._metrics.refused_namespaces.set(len(self._view.unusable))
            self._metrics.certificate_ends.set(self._certificate.ends)
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._metrics.registry)
        return 404, "text/plain", b"there are /healthz, /readyz and /metrics\n"
