"""The webhook: reviews a second of one worker, and how long they take, beside the same server answering with no work.

Both servers run in processes of their own, with the same TLS, parser and limits; the one without work reads the body
and sends a fixed answer. Rounds of the two alternate, so that what else the machine does falls on both. Everything is
on: a floor that asks for the restricted profile and for images from two registries, a policy of the namespace, metrics,
two hundred other policies.
"""

import asyncio
import json
import multiprocessing
import os
import secrets
import ssl
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, cast

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

from bench import table
from bench.table import Row
from e2e.cluster import ports

CONCURRENCY: Final = (1, 8, 32)
ROUNDS: Final = 3
SECONDS: Final = 1.5
#: What the webhook is to reach of the server without work.
GOAL_SHARE: Final = 0.60
GOAL_RSS: Final = 100
OTHER_POLICIES: Final = 200


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


_FIXED: Final = json.dumps(
    {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "x" * 36, "allowed": True}}
).encode()


def pod(*, good: bool = True) -> dict[str, Any]:
    """A pod of 6 KB: two containers with what programs have, and the managedFields of whoever wrote it."""
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": not good}
    variables = [{"name": f"SETTING_{index}", "value": f"value of setting {index}"} for index in range(12)]
    containers = [
        {
            "name": name,
            "image": f"registry.example.com/shop/{name}@sha256:{'0' * 64}",
            "env": variables,
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
            "securityContext": context,
            "volumeMounts": [{"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        }
        for name in ("checkout", "exporter")
    ]
    managed: dict[str, Any] = {f"f:env-{index}": {".": {}, "f:name": {}, "f:value": {}} for index in range(40)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "checkout-5b8f9c7d4-x2x9q",
            "namespace": "shop",
            "labels": {"app": "checkout", "pod-template-hash": "5b8f9c7d4", "ringfence.dev/identity": "default"},
            "managedFields": [{"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": managed}],
        },
        "spec": {
            "serviceAccountName": "default",
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
            "volumes": [{"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
    }


def review(obj: dict[str, Any]) -> bytes:
    """As the API server sends it."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": obj["metadata"]["name"],
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["a", "b"]},
        "object": obj,
        "oldObject": None,
        "dryRun": False,
    }
    body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}
    return json.dumps(body, separators=(",", ":")).encode()


#: What is asked of every pod: the strictest level, and two registries.
_ADMISSION: Final = {
    "podSecurity": "restricted",
    "images": {"registries": ["docker.io/library", "registry.example.com/shop"]},
}


def _objects() -> list[dict[str, Any]]:
    namespace = {
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"ringfence.dev/enroll": "enforce"}},
        "status": {"conditions": [{"type": "ringfence.dev/Enforced", "status": "False"}]},
    }
    own = [
        _own("ServiceIdentity", "default", {}),
        _own("ClusterSecurityPolicy", "floor", {"namespaceSelector": {}, "admission": _ADMISSION}),
        _own("SecurityPolicy", "own", {"admission": {"podSecurity": "baseline"}}),
    ]
    rule = {"name": "a", "from": [{"namespace": "shop"}], "ports": [80]}
    others = [_own("SecurityPolicy", f"other-{index}", {"ingress": [rule]}) for index in range(OTHER_POLICIES)]
    return [namespace, *own, *others]


def _own(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} if kind == "ClusterSecurityPolicy" else {"name": name, "namespace": "shop"}
    return {"apiVersion": "ringfence.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _app(*, work: bool) -> App:
    metrics = Metrics()
    if not work:
        return App(NoWork(), metrics)
    objects = _objects()

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


def _serve(work: bool, port: int, pair: serving.Pair, ready: Connection) -> None:
    """The whole of a server process."""

    async def main() -> None:
        certificate = Certificate()
        load(certificate.context, pair.certificate, pair.key)
        server = listening.secure(_app(work=work), certificate, "127.0.0.1", port)
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


@contextmanager
def _server(pair: serving.Pair, *, work: bool) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process id."""
    (port,) = ports.free()
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(work, port, pair, there))
    process.start()
    try:
        if not here.poll(30):
            raise RuntimeError("the server did not start within 30 s")
        here.recv()
        yield port, process.pid or 0
    finally:
        here.send(True)
        process.join(10)
        if process.is_alive():
            process.kill()


class _Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, times: list[float], until: float) -> None:
        self._request, self._times, self._until = request, times, until
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count a complete answer."""
        self._pending += data
        head, separator, body = self._pending.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        self._pending = b""
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200"):
            self.done.set_exception(RuntimeError(head.decode()))
            return
        self._times.append(now - self._sent)
        if now < self._until:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that breaks is a failed measurement."""
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


async def _load(port: int, context: ssl.SSLContext, body: bytes, clients: int, seconds: float) -> list[float]:
    """Seconds of each review."""
    head = (
        f"POST /validate?timeout=3s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    times: list[float] = []
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    made = [
        await loop.create_connection(
            lambda: _Client(head.encode() + body, times, until),
            "127.0.0.1",
            port,
            ssl=context,
            server_hostname="localhost",
        )
        for _ in range(clients)
    ]
    await asyncio.gather(*(client.done for _, client in made))
    return times


@dataclass
class Figures:
    """Of all rounds of one server at one concurrency."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, times: list[float], seconds: float, cpu: float) -> None:
        """One round: its reviews, how long it took, and the processor time of the server."""
        self.rates.append(len(times) / seconds)
        self.times += times
        self.cpu += cpu

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    def __str__(self) -> str:
        times = f"p50 {self.quantile(0.5):.2f} ms, p99 {self.quantile(0.99):.2f} ms"
        return f"{self.rate:,.0f}/s, {times}, {self.cpu / len(self.times) * 1e6:.0f} µs of processor"


def rows() -> list[Row]:
    """Measure; takes about a minute."""
    ca = serving.make_ca(time.time(), secrets.randbits(120) | 1)
    pair = serving.issue(ca, ["localhost"], time.time(), secrets.randbits(120) | 1)
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    bodies = {"good": review(pod()), "refused": review(pod(good=False))}
    found: dict[tuple[str, int], Figures] = {}
    with _server(pair, work=True) as busy, _server(pair, work=False) as idle:
        for clients in CONCURRENCY:
            for round_ in range(ROUNDS):
                print(f"  {clients} at once, round {round_ + 1} of {ROUNDS}", file=sys.stderr)
                for name, (port, process), body in (
                    ("no work", idle, bodies["good"]),
                    ("good", busy, bodies["good"]),
                    ("refused", busy, bodies["refused"]),
                ):
                    start, cpu = time.perf_counter(), _cpu(process)
                    times = uvloop.run(_load(port, context, body, clients, SECONDS))
                    seconds, cpu = time.perf_counter() - start, _cpu(process) - cpu
                    found.setdefault((name, clients), Figures()).add(times, seconds, cpu)
        rss = _rss(busy[1])
    return [
        *_table(found, len(bodies["good"])),
        Row("memory of the worker", f"{rss} MiB", f"≤ {GOAL_RSS} MiB", rss <= GOAL_RSS),
    ]


def _table(found: dict[tuple[str, int], Figures], size: int) -> Iterator[Row]:
    for clients in CONCURRENCY:
        base = found["no work", clients]
        yield Row(f"{clients} at once: the same server without work", str(base))
        for name, what in (("good", "a good pod"), ("refused", "a refused pod")):
            figures = found[name, clients]
            share = figures.rate / base.rate
            title = f"{clients} at once: {what} of {size / 1000:.1f} KB"
            if name == "good":
                yield Row(title, f"{figures} ({share:.0%})", f"≥ {GOAL_SHARE:.0%} of without", share >= GOAL_SHARE)
            else:
                yield Row(title, f"{figures} ({share:.0%})")


def _cpu(process: int) -> float:
    """Seconds of processor time that a process has used so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(process: int) -> int:
    """MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


if __name__ == "__main__":
    table.show("webhook", rows())
