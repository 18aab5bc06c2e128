"""The controller: from a policy's change to its NetworkPolicy, and a cold start with a full cluster.

A real API server on this machine, the controller as its own process with Kopf and all.
"""

import asyncio
import json
import random
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.kube import client, resources
from ringfence.model.names import API_VERSION, LABEL_ENROLL, LABEL_IDENTITY

from bench import rig, table
from e2e.cluster.controlplane import ControlPlane

NAMESPACES = 50
IDENTITIES = 40
"""In each namespace, each with a pod."""
POLICIES = 10
"""In each namespace."""
RATE = 20
SECONDS = 30


@dataclass(frozen=True, slots=True)
class ColdStart:
    """From the start of the process until every policy is in force. ``memory`` in bytes at its highest, ``cpu`` in
    seconds."""

    seconds: float
    requests: Counter[str]
    memory: int
    cpu: float


def rows() -> list[table.Row]:
    """Both measurements."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-") as place:
        log = Path(place) / "audit.log"
        with ControlPlane("bench", audit_log=log, arguments=rig.AUDIT_ARGUMENTS) as plane:
            return asyncio.run(_measure(plane, Path(place), rig.Audit(log)))


async def _measure(plane: ControlPlane, place: Path, audit: rig.Audit) -> list[table.Row]:
    config = rig.user_config(plane, place, rig.USER, "controller")
    async with rig.connected(config) as api:
        rig.say(f"filling the cluster: {NAMESPACES} namespaces of {IDENTITIES} identities and {POLICIES} policies")
        await _fill(api)
        audit.mark()
        with rig.controller(config, place) as running:
            cold = await _cold_start(running, audit)
            rig.say(f"cold start: {cold.seconds:.1f} s; now {RATE} changes a second for {SECONDS} s")
            spent = rig.cpu_seconds(running.process.pid)
            latencies = await _changes(api)
            spent = rig.cpu_seconds(running.process.pid) - spent
            memory = rig.peak_memory(running.process.pid)
    return [*_cold_rows(cold), *_change_rows(latencies, memory, spent)]


def _cold_rows(cold: ColdStart) -> list[table.Row]:
    objects = NAMESPACES * (IDENTITIES + POLICIES)
    total = sum(cold.requests.values())
    shares = ", ".join(f"{name} {count}" for name, count in cold.requests.most_common())
    written = cold.requests["writes of statuses"]
    return [
        table.Row(
            f"cold start: {objects} resources in {NAMESPACES} namespaces until all are in force",
            f"{cold.seconds:.1f} s ({cold.cpu:.1f} s of processor time)",
        ),
        table.Row("cold start: API requests a resource", f"{total / objects:.2f} ({shares})"),
        table.Row("cold start: status writes a resource", f"{written / objects:.2f}", "1.00", written <= objects + 60),
        _memory_row("cold start: highest memory of the controller", cold.memory),
    ]


def _change_rows(latencies: list[float], memory: int, cpu: float) -> list[table.Row]:
    ordered = sorted(latencies)
    median = ordered[len(ordered) // 2]
    p99 = ordered[int(len(ordered) * 0.99)]
    what = f"policy change to NetworkPolicy written, {RATE} changes/s, {len(ordered)} of them"
    return [
        table.Row(f"{what}: median", f"{median * 1000:.0f} ms", "200 ms", median <= 0.2),
        table.Row(f"{what}: p99", f"{p99 * 1000:.0f} ms", "1000 ms", p99 <= 1.0),
        table.Row(
            "processor time of the controller a change (a second of changes must fit into a second)",
            f"{cpu / len(ordered) * 1000:.0f} ms",
            f"{1000 / RATE:.0f} ms",
            cpu / len(ordered) <= 1 / RATE,
        ),
        _memory_row("highest memory of the controller after the changes", memory),
    ]


def _memory_row(what: str, memory: int) -> table.Row:
    return table.Row(what, f"{memory / 2**20:.0f} MiB", "250 MiB", memory <= 250 * 2**20)


async def _fill(api: client.Client) -> None:
    """Everything is there before the controller is: pods with their labels, so that namespaces close at once."""
    await rig.install(api)
    for number in range(NAMESPACES):
        await rig.create(api, _namespace(number))
    objects = [each for number in range(NAMESPACES) for each in _contents(number)]
    # Pods last: their ServiceAccounts must be there.
    objects.sort(key=lambda obj: obj["kind"] == "Pod")
    await rig.all_of(lambda obj: rig.create(api, obj), objects)


def _contents(number: int) -> Iterator[dict[str, Any]]:
    for index in range(IDENTITIES):
        metadata = {"name": f"service-{index}", "namespace": f"team-{number}"}
        yield {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": {}}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    for index in range(IDENTITIES):
        yield _pod(number, index)
    for index in range(POLICIES):
        yield _policy(number, index, 8080)


def _namespace(number: int) -> dict[str, Any]:
    metadata = {"name": f"team-{number}", "labels": {LABEL_ENROLL: "enforce"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _pod(number: int, index: int) -> dict[str, Any]:
    name = f"service-{index}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": f"team-{number}", "labels": {LABEL_IDENTITY: name, "app": name}},
        "spec": {
            "serviceAccountName": name,
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": "localhost/none:1"}],
        },
    }


def _policy(number: int, index: int, port: int) -> dict[str, Any]:
    """Ten rules, half of them from other namespaces."""
    peers = [(number, (index + step) % IDENTITIES) for step in range(1, 6)]
    peers += [((number + step) % NAMESPACES, (index + step) % IDENTITIES) for step in range(1, 6)]
    rules = [
        {
            "name": f"rule-{place}",
            "from": [{"identity": {"namespace": f"team-{team}", "name": f"service-{service}"}}],
            "ports": [port],
        }
        for place, (team, service) in enumerate(peers)
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "SecurityPolicy",
        "metadata": {"name": f"policy-{index}", "namespace": f"team-{number}"},
        "spec": {"appliesTo": {"identities": [f"service-{index}"]}, "ingress": rules},
    }


async def _cold_start(running: rig.Controller, audit: rig.Audit) -> ColdStart:
    started = time.monotonic()
    process = running.process
    wanted = {"SecurityPolicy": NAMESPACES * POLICIES, "ServiceIdentity": NAMESPACES * IDENTITIES}
    while time.monotonic() - started < 300:
        await asyncio.sleep(0.25)
        if process.poll() is not None:
            raise RuntimeError(f"the controller has ended with status {process.returncode}")
        ready = await asyncio.to_thread(_ready_resources, running.port)
        if all(ready.get(kind, 0) >= count for kind, count in wanted.items()):
            seconds = time.monotonic() - started
            await asyncio.sleep(2)
            requests = Counter(_purpose(each) for each in audit.requests(rig.USER))
            return ColdStart(seconds, requests, rig.peak_memory(process.pid), rig.cpu_seconds(process.pid))
    raise RuntimeError(f"not all in force after 300 s: {_ready_resources(running.port)} of {wanted}")


def _ready_resources(port: int) -> Counter[str]:
    """How many resources of each kind are Ready, as the controller's metrics have it."""
    found: Counter[str] = Counter()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except OSError:
        return found
    for line in text.splitlines():
        if line.startswith("ringfence_resources{") and 'ready="True"' in line:
            kind = line.partition('kind="')[2].partition('"')[0]
            found[kind] += int(float(line.rpartition(" ")[2]))
    return found


def _purpose(request: rig.Request) -> str:
    if request.reads:
        return "reads"
    if request.subresource == "status":
        return "writes of statuses"
    if request.resource == "networkpolicies":
        return "writes of NetworkPolicies"
    return "other writes"


async def _changes(api: client.Client) -> list[float]:
    """Seconds from the API server's answer to a change until the NetworkPolicy that follows from it was seen."""
    sent: dict[tuple[str, str, int], float] = {}
    latencies: list[float] = []
    version = (await api.request("GET", resources.NETWORK_POLICIES.path(), query={"limit": "1"}))["metadata"]
    watching = asyncio.create_task(_observe(api, version["resourceVersion"], sent, latencies))
    # Each policy in turn: two changes of one policy under way at once could overtake each other.
    places = [(number, index) for number in range(NAMESPACES) for index in range(POLICIES)]
    random.Random(7).shuffle(places)  # noqa: S311 (a fixed sequence)
    writes = []
    started = time.monotonic()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
        place = (*places[number % len(places)], 10000 + number)
        writes.append(asyncio.create_task(_change(api, *place, sent)))
    await asyncio.gather(*writes)
    deadline = time.monotonic() + 60
    while sent and time.monotonic() < deadline:  # noqa: ASYNC110 (plain state)
        await asyncio.sleep(0.1)
    watching.cancel()
    if sent:
        raise RuntimeError(f"{len(sent)} changes led to no NetworkPolicy")
    return latencies


async def _change(api: client.Client, number: int, index: int, port: int, sent: dict[Any, float]) -> None:
    policy = _policy(number, index, port)
    path = resources.SECURITY_POLICIES.path(f"team-{number}", f"policy-{index}")
    sent[f"team-{number}", f"policy-{index}", port] = time.monotonic()
    await api.request("PATCH", path, body={"spec": policy["spec"]}, content_type=client.MERGE)


async def _observe(api: client.Client, version: str, sent: dict[Any, float], latencies: list[float]) -> None:
    query = {"resourceVersion": version, "timeoutSeconds": "600"}
    stream = api.watch(resources.NETWORK_POLICIES.path(), query, silence=600, opened=lambda: None)
    async for _, raw in stream:
        now = time.monotonic()
        obj = json.loads(bytes(raw))
        name = obj["metadata"]["name"].removeprefix("ringfence-policy-").removesuffix("-ingress")
        for rule in obj["spec"].get("ingress", ()):
            for port in rule.get("ports", ()):
                since = sent.pop((obj["metadata"]["namespace"], name, port["port"]), None)
                if since is not None:
                    latencies.append(now - since)


if __name__ == "__main__":
    table.show("controller", rows())
