"""Kopf: an operator's life cycle, and a second pair of eyes on the resources that people write.

What it sees is held against the caches that the core decides by: one that missed something is read again. So what Kopf
cannot do (tell what vanished while its watch was away, outlive an error in a watch) costs nothing. It runs in a thread
with a loop of its own, because it ends every task that it finds in its loop when it ends, and is started again when it
ends by itself. ADR 0040 has the reasons and the measurements.
"""

import asyncio
import logging
import threading
from collections.abc import Callable

import kopf

from ringfence import metrics
from ringfence.controller.core import Sighting
from ringfence.kube.backoff import Backoff
from ringfence.kube.client import Credentials
from ringfence.model.names import GROUP, VERSION

_log = logging.getLogger(__name__)

#: Called from Kopf's thread for every object that it sees.
Witness = Callable[[Sighting], None]

#: Which cache holds what Kopf watches.
CACHES = {
    "serviceidentities": "identities",
    "securitypolicies": "policies",
    "clustersecuritypolicies": "cluster_policies",
    "namespaces": "namespaces",
}


class Front:
    """Runs Kopf until stopped. ``started`` is set once it watches."""

    def __init__(self, credentials: Callable[[], Credentials], witness: Witness) -> None:
        """``credentials`` is asked at each login, so that a token that has been renewed is used."""
        self._credentials = credentials
        self._witness = witness
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kopf", daemon=True)
        self.started = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Ask Kopf to end and wait for it; a thread that does not end in time ends with the process."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        backoff = Backoff(1.0, 30.0)
        while not self._stop.is_set():
            try:
                asyncio.run(self._operate())
            except Exception as error:  # noqa: BLE001 (whatever ends Kopf must not end the controller)
                _log.warning("Kopf has ended and is started again: %s", error)
            if not self._stop.is_set():
                metrics.FRONT_RESTARTS.inc()
                self._stop.wait(backoff.next())

    async def _operate(self) -> None:
        await kopf.operator(
            registry=registry(self._credentials, self._witness, self.started),
            settings=settings(),
            clusterwide=True,
            standalone=True,
            stop_flag=self._stop,
        )


class NothingKept(kopf.DiffBaseStorage):
    """What Kopf would store on objects in order to tell what has changed: nothing, so nothing is copied for it either.

    By default it copies and compares every object that it sees, with or without a handler that asks what has changed.
    """

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        """Nothing of any object is essential."""
        del body, extra_fields
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Nothing was ever stored."""
        del body
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


def settings() -> kopf.OperatorSettings:
    """Kopf without what would leave traces in the cluster or stop it."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.scanning.disabled = True
    made.watching.chunk_size = 500
    made.watching.server_timeout = 300
    made.watching.inactivity_timeout = 100
    made.networking.connect_timeout = 5
    made.networking.request_timeout = 30
    made.queueing.idle_timeout = 0.5
    made.persistence.diffbase_storage = NothingKept()
    return made


def registry(
    credentials: Callable[[], Credentials], witness: Witness, started: threading.Event
) -> kopf.OperatorRegistry:
    """The handlers: one that logs in, one that says that Kopf is up, and one that bears witness."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    def login(**_: object) -> kopf.ConnectionInfo:
        return connection(credentials())

    @kopf.on.startup(registry=made)
    async def start(**_: object) -> None:
        started.set()

    async def seen(resource: kopf.Resource, event: kopf.RawEvent, **_: object) -> None:
        metadata = event["object"]["metadata"]
        witness(
            Sighting(
                cache=CACHES[resource.plural],
                namespace=metadata.get("namespace", ""),
                name=metadata["name"],
                uid=metadata.get("uid", ""),
                version=metadata.get("resourceVersion", ""),
                deleted=event["type"] == "DELETED",
            )
        )

    for plural in CACHES:
        group, version = ("", "v1") if plural == "namespaces" else (GROUP, VERSION)
        kopf.on.event(group, version, plural, registry=made)(seen)
    return made


def connection(credentials: Credentials) -> kopf.ConnectionInfo:
    """The same credentials in Kopf's words."""
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_path,
        certificate_path=credentials.certificate_path,
        private_key_path=credentials.private_key_path,
        scheme="Bearer" if credentials.token else None,
        token=credentials.token,
        insecure=credentials.insecure,
    )
