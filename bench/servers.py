"""Webhooks to measure, each in a process of its own: Ringfence's, the same without work, and Kubernetes' own.

All speak TLS with a P-256 certificate of the same CA. Ringfence's is what `ringfence run webhook` runs, with lists in
place of watches; everything is on: metrics, the log, the self-made policies of ``reviews.objects``.
"""

import asyncio
import multiprocessing
import os
import secrets
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

import uvloop
from ringfence import api, logs
from ringfence.model.ports import Object
from ringfence.model.world import Installation
from ringfence.pki import serving
from ringfence.policy import resolve
from ringfence.reconcile import gather
from ringfence.webhook import listening
from ringfence.webhook.answering import Answering
from ringfence.webhook.app import App
from ringfence.webhook.cache import CachedView, NoPods
from ringfence.webhook.live import Learner
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.review import Purpose
from ringfence.webhook.tls import Certificate, load
from ringfence.webhook.view import Missing, Rules

from bench import reviews, upstream
from bench.reviews import Policies
from e2e.cluster import ports

_START: Final = 60.0
_FIXED: Final = (
    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"%s","allowed":true}}'
    % (b"x" * 36)
)


@dataclass(frozen=True, slots=True)
class Trust:
    """A CA, a certificate of it for localhost, and what a client must know to believe it."""

    ca: serving.Pair
    pair: serving.Pair
    context: ssl.SSLContext

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        ca = serving.make_ca(time.time(), secrets.randbits(120) | 1)
        pair = serving.issue(ca, ["localhost"], time.time(), secrets.randbits(120) | 1)
        return cls(ca, pair, ssl.create_default_context(cadata=ca.certificate.decode()))


@dataclass(frozen=True, slots=True)
class Running:
    """A server on localhost, what it is asked, and the HTTP status of its answers; ``pid`` is its process."""

    port: int
    pid: int
    context: ssl.SSLContext
    path: str = "/validate?timeout=3s"
    status: bytes = b"200"


class Held:
    """Fulfils ports.Lister from a list."""

    synced = True

    def __init__(self, objects: Sequence[Object] = ()) -> None:
        self._objects = {(each["metadata"].get("namespace", ""), each["metadata"]["name"]): each for each in objects}

    def stale_for(self, monotonic: float) -> float:
        """Never stale."""
        del monotonic
        return 0.0

    def get(self, namespace: str, name: str) -> Object | None:
        """The object."""
        return self._objects.get((namespace, name))

    def list(self, namespace: str | None = None) -> Sequence[Object]:
        """The objects of a namespace, or all."""
        return [each for key, each in sorted(self._objects.items()) if namespace is None or key[0] == namespace]


class NoWork:
    """Answers what the webhook answers to a good pod, without looking."""

    async def answer(self, purpose: Purpose, body: bytes, deadline: float) -> bytes:
        """The same bytes every time."""
        del purpose, body, deadline
        return _FIXED


@contextmanager
def ringfence(trust: Trust, policies: Policies | None) -> Iterator[Running]:
    """Ringfence's server; without ``policies`` one that reads the body and answers with no work."""
    (port,) = ports.free()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(policies, port, trust.pair, there))
    process.start()
    try:
        if not here.poll(_START):
            raise RuntimeError(f"the server did not start within {_START:.0f} s")
        here.recv()
        yield Running(port, process.pid or 0, trust.context)
    finally:
        here.send(True)
        process.join(10)
        if process.is_alive():
            process.kill()


@contextmanager
def kubernetes(trust: Trust, kubeconfig: Path, place: Path) -> Iterator[Running]:
    """Kubernetes' Pod Security webhook, in Go; it knows namespaces by the API server of ``kubeconfig``."""
    (port,) = ports.free()
    certificate, key = place / "upstream.crt", place / "upstream.key"
    certificate.write_bytes(trust.pair.certificate)
    key.write_bytes(trust.pair.key)
    command = [
        str(upstream.webhook()),
        f"--kubeconfig={kubeconfig}",
        f"--tls-cert-file={certificate}",
        f"--tls-private-key-file={key}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]
    log = place / "upstream.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        _await(port, process, log)
        yield Running(port, process.pid, trust.context, "/?timeout=3s")
    finally:
        process.terminate()
        process.wait(10)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + _START
    while True:
        try:
            asyncio.run(_reachable(port))
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Kubernetes' webhook did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.1)
        else:
            return


async def _reachable(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


def _app(policies: Policies | None) -> App:
    metrics = Metrics()
    if policies is None:
        return App(NoWork(), metrics)
    objects = reviews.objects(policies)

    def of(kind: str) -> Held:
        return Held([each for each in objects if each["kind"] == kind])

    namespaces = of("Namespace")
    listers = gather.Listers(
        namespaces=namespaces,
        identities=of("ServiceIdentity"),
        policies=of("SecurityPolicy"),
        cluster_policies=of("ClusterSecurityPolicy"),
        pods=NoPods(),
        network_policies=Held(),
    )
    installation = Installation()
    gatherer = gather.Gatherer(listers, api.parse, lambda: installation)
    view = CachedView(gatherer, namespaces, Held(), resolve.resolve, frozenset())
    view.compile_all()
    return App(Answering(view, Rules("controller", frozenset()), Learner(_nothing, frozenset()), metrics), metrics)


async def _nothing(missing: Missing, seconds: float) -> Object | None:
    del missing, seconds
    return None


def _serve(policies: Policies | None, port: int, pair: serving.Pair, ready: Connection) -> None:
    """The whole of a server process."""

    async def main() -> None:
        certificate = Certificate()
        load(certificate.context, pair.certificate, pair.key)
        server = listening.secure(_app(policies), certificate, "127.0.0.1", port)
        async with listening.serving(server):
            while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.01)
            listening.settle()
            ready.send(True)
            while not ready.poll():  # noqa: ASYNC110 (a pipe)
                await asyncio.sleep(0.1)

    with Path(os.devnull).open("w") as nowhere:
        logs.configure("info", "json", nowhere)
        uvloop.run(main())
