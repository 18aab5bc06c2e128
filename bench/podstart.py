"""How much later a pod is Ready with Ringfence: admitted by its webhooks, with a proxy, redirected by `node`.

Needs the node of `make cluster` (`RINGFENCE_CLUSTER` names another). Pods are made one at a time, in turns in an
enrolled namespace and in one that is left alone, so that whatever else the machine does falls on all. A pod's time is
from the request that creates it to the event that says Ready, by the clock of this process.

What of it is Ringfence's and what is Kubernetes' is told by pods of a third kind: left alone too, but with a native
sidecar of their own that their program has to wait for, and that is ready at once.
"""

import asyncio
import contextlib
import copy
import os
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from ringfence.kube import client, resources

from bench import rig, table
from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.demo import install
from e2e.demo.client import Client, until
from e2e.scenarios.support import API_VERSION, Sandbox

PODS: Final = int(os.environ.get("RINGFENCE_BENCH_PODS", "50"))
"""In each namespace; at least 2."""
GOAL: Final = 1.5
"""Seconds that the median may be later."""
WARM: Final = 4
"""Pods of each that do not count: both nodes get the images with them."""
WITH, WITHOUT, WAITING = "bench-start-with", "bench-start-without", "bench-start-waiting"
"""Namespaces; the last is for pods with a sidecar that is not Ringfence's."""
_NAMESPACES: Final = (WITH, WITHOUT, WAITING)
_WITHIN: Final = 120.0
_PROGRAM: Final = "web"
_SIDECAR_PORT: Final = 8090


class _Condition(msgspec.Struct):
    type: str
    status: str


class _Status(msgspec.Struct):
    conditions: list[_Condition] = []


class _Metadata(msgspec.Struct):
    name: str


class _Pod(msgspec.Struct):
    metadata: _Metadata
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def ready(self) -> bool:
        return any(each.type == "Ready" and each.status == "True" for each in self.status.conditions)


_pod = msgspec.json.Decoder(_Pod)


@dataclass(slots=True)
class Watched:
    """What the API server has told of the pods of a namespace: when (monotonic) each was first Ready, and gone."""

    ready: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, moments: dict[str, float], name: str) -> float:
        """When it was. Raises RuntimeError when it is not in time."""
        try:
            async with asyncio.timeout(_WITHIN):
                while name not in moments:
                    self.told.clear()
                    await self.told.wait()
        except TimeoutError:
            raise RuntimeError(f"pod {name} did not come so far within {_WITHIN:.0f} s") from None
        return moments[name]

    def take(self, kind: str, pod: _Pod) -> None:
        """One event."""
        name, now = pod.metadata.name, time.monotonic()
        if kind == "DELETED":
            self.gone[name] = now
        elif pod.ready:
            self.ready.setdefault(name, now)
        self.told.set()


def rows() -> list[table.Row]:
    """The figures; one that says what is missing, where they cannot be had."""
    cluster = backend.find(install.CLUSTER)
    if cluster is None:
        missing = f"not measured: there is no cluster {install.CLUSTER} (start it with: make cluster)"
        return [table.Row("pod start", missing, f"at most {GOAL} s later")]
    try:
        return figures(_measured(cluster))
    except ClusterError as error:
        return [table.Row("pod start", f"not measured: {error}", f"at most {GOAL} s later")]


def figures(found: Mapping[str, list[float]]) -> list[table.Row]:
    """The rows, by the seconds of each pod of each namespace; at least two pods a namespace."""
    median = {name: statistics.median(seconds) for name, seconds in found.items()}
    later = median[WITH] - median[WITHOUT]
    of_any = median[WAITING] - median[WITHOUT]
    return [
        table.Row(f"{len(found[WITHOUT])} pods without Ringfence, Ready after", _told(found[WITHOUT])),
        table.Row(f"{len(found[WAITING])} pods with a sidecar that does nothing, Ready after", _told(found[WAITING])),
        table.Row(f"{len(found[WITH])} pods with Ringfence and its proxy, Ready after", _told(found[WITH])),
        table.Row("later by, median", f"{later:.2f} s", f"at most {GOAL} s", later <= GOAL),
        table.Row("of that what any sidecar costs that is waited for", f"{of_any:.2f} s"),
    ]


def _told(seconds: list[float]) -> str:
    tenth = statistics.quantiles(seconds, n=10)[-1]
    return f"median {statistics.median(seconds):.2f} s, 9 of 10 within {tenth:.2f} s, slowest {max(seconds):.2f} s"


def _measured(cluster: backend.Cluster) -> dict[str, list[float]]:
    admin = install.client(cluster)
    image = install.push_images(install.CLUSTER)
    install.install(cluster, image, install.with_proxies(cluster))
    try:
        install.wait_ready(cluster)
        install.wait_proxies_ready(cluster)
        _prepare(cluster, admin)
        return asyncio.run(_in_turns(cluster))
    finally:
        admin.run("delete", "namespace", *_NAMESPACES, "--ignore-not-found", timeout=180)
        install.install(cluster, image)


def _prepare(cluster: backend.Cluster, admin: Client) -> None:
    admin.run("delete", "namespace", *_NAMESPACES, "--ignore-not-found", timeout=180)
    for name, labels in ((WITH, {"ringfence.dev/enroll": "enforce"}), (WITHOUT, {}), (WAITING, {})):
        admin.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
        account = {"name": _PROGRAM, "namespace": name}
        admin.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}])
    identity = {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "spec": {}}
    admin.apply([{**identity, "metadata": {"name": _PROGRAM, "namespace": WITH}}])
    box = Sandbox(admin, WITH, install.agnhost(cluster))
    box.wait_closed()
    pod = box.pod("first", _PROGRAM)
    until(lambda: admin.create(pod, "--dry-run=server").ok, "pods with the identity are admitted")


async def _in_turns(cluster: backend.Cluster) -> dict[str, list[float]]:
    admin = install.client(cluster)
    boxes = {name: Sandbox(admin, name, install.agnhost(cluster)) for name in _NAMESPACES}
    found: dict[str, list[float]] = {name: [] for name in _NAMESPACES}
    async with rig.connected(cluster.kubeconfig) as api, contextlib.AsyncExitStack() as stack:
        watched = {name: await stack.enter_async_context(_watching(api, name)) for name in boxes}
        for number in range(-WARM, PODS):
            # Who goes first changes, for what the one before leaves behind.
            first = number % len(_NAMESPACES)
            for name in _NAMESPACES[first:] + _NAMESPACES[:first]:
                pod = boxes[name].pod(f"{_PROGRAM}-{number + WARM}", _PROGRAM)
                seconds = await _started(api, watched[name], with_sidecar(pod) if name == WAITING else pod)
                if number >= 0:
                    found[name].append(seconds)
            if number >= 0 and number % 10 == 9:
                now = ", ".join(f"{name} {statistics.median(each):.2f} s" for name, each in found.items())
                rig.say(f"podstart: {number + 1} of {PODS}: {now}")
    return found


def with_sidecar(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with a native sidecar that its program waits for, probed as the proxy is; it listens at once."""
    changed = copy.deepcopy(pod)
    [program] = changed["spec"]["containers"]
    probe = {"httpGet": {"path": "/", "port": _SIDECAR_PORT}}
    sidecar = {
        **copy.deepcopy(program),
        "name": "sidecar",
        "restartPolicy": "Always",
        "args": ["netexec", f"--http-port={_SIDECAR_PORT}", "--udp-port=-1"],
        "ports": [],
        "startupProbe": {**probe, "periodSeconds": 1},
        "readinessProbe": {**probe, "periodSeconds": 5},
    }
    changed["spec"]["initContainers"] = [sidecar]
    return changed


async def _started(api: client.Client, watched: Watched, pod: dict[str, Any]) -> float:
    """Seconds until it is Ready; it is gone afterwards."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    begin = time.monotonic()
    await rig.create(api, pod)
    ready = await watched.until(watched.ready, name)
    await api.request("DELETE", resources.PODS.path(namespace, name), query={"gracePeriodSeconds": "1"})
    await watched.until(watched.gone, name)
    return ready - begin


@contextlib.asynccontextmanager
async def _watching(api: client.Client, namespace: str) -> AsyncIterator[Watched]:
    path = resources.PODS.path(namespace)
    since = (await api.request("GET", path))["metadata"]["resourceVersion"]
    watched = Watched()

    async def watch() -> None:
        lines = api.watch(
            path, {"resourceVersion": since, "timeoutSeconds": "3600"}, silence=2 * _WITHIN, opened=lambda: None
        )
        async for kind, raw in lines:
            if kind == "ERROR":
                raise RuntimeError(f"the watch of pods ended: {bytes(raw).decode()}")
            watched.take(kind, _pod.decode(raw))

    task = asyncio.create_task(watch())
    try:
        yield watched
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


if __name__ == "__main__":
    table.show("podstart", rows())
