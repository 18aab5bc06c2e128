"""proxyd under many proxies: from the write of a policy to its use by all of them, what a stream costs, and how fast
all of them are back after proxyd was killed.

proxyd is a process of its own with the real compiler, real tokens and an API server. The proxies are fakes in the
measuring process, on the same cores: they take and acknowledge everything, and apply nothing.
"""

import asyncio
import base64
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from envoy.service.discovery.v3 import discovery_pb2
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.model.names import API_VERSION, LABEL_IDENTITY
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.pki import serving, slots, store
from ringfence.pki.root import make_root
from ringfence.proxyd import wire
from ringfence.proxyd.wire import Kind

from bench import rig, table
from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane

STREAMS: Final = (1000, 3000)
#: Pods of one identity; so many classes of proxies there are as identities.
PODS_OF_IDENTITY: Final = 50
CHANGES: Final = 5
GOALS: Final = {1000: 0.7, 3000: 2.0}
GOAL_MEMORY: Final = 100 * 1024
NAMESPACE: Final = "bench"
NODE: Final = "node-1"
HOST: Final = f"{proxy.PROXYD_SERVICE}.{rig.OWN}.svc"
_WITHIN: Final = 180.0
_PROGRAM: Final = """
import sys
from pathlib import Path
from ringfence import settings
from ringfence.proxyd import main
sys.exit(main.run(settings.load(Path(sys.argv[1])), main.Options(sys.argv[2], Path(sys.argv[3]))))
"""


@dataclass(slots=True)
class Fake:
    """A proxy: takes what comes, says yes, and notes when it last got another configuration.

    ``version`` of its inbound listener and its routes, ``at`` when they changed (monotonic).
    """

    stream: Any
    node: str
    at: float = 0.0
    changes: int = 0
    task: asyncio.Task[None] | None = field(default=None)

    async def run(self) -> None:
        """Ask for everything, then take whatever comes."""
        for kind in Kind:
            names = [proxy.SDS_IDENTITY, proxy.SDS_BUNDLE] if kind is Kind.SECRETS else ["*"]
            request = discovery_pb2.DeltaDiscoveryRequest(type_url=kind.value, resource_names_subscribe=names)
            request.node.id = self.node
            told = request.node.user_agent_build_version.version
            told.major_number, told.minor_number, told.patch = OLDEST_ENVOY
            await self.stream.write(request)
        while True:
            response = await self.stream.read()
            if not isinstance(response, discovery_pb2.DeltaDiscoveryResponse):
                return
            acknowledgement = discovery_pb2.DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce
            )
            await self.stream.write(acknowledgement)
            if response.type_url in {Kind.LISTENERS.value, Kind.ROUTES.value}:
                self.at = time.monotonic()
                self.changes += 1


@dataclass(frozen=True, slots=True)
class Trial:
    """What was seen with so many streams. Seconds; ``memory`` in bytes a stream, ``cpu`` of proxyd a change."""

    streams: int
    connect: float
    memory: float
    changes: Sequence[float]
    cpu: float
    idle_cpu: float
    storm: float


class Bench:
    """A cluster with so many pods, and proxyd beside it."""

    def __init__(self, plane: ControlPlane, api: client.Client, place: Path, count: int) -> None:
        self._plane = plane
        self._api = api
        self._place = place
        self._count = count
        self._ca = serving.make_ca(time.time(), secrets.randbits(158) + 1)
        self._tokens: dict[str, str] = {}
        self._uids: dict[str, str] = {}
        (self._port, self._http) = ports.free(2)
        self._child: subprocess.Popen[bytes] | None = None

    async def populate(self) -> None:
        """Everything that proxyd reads, and a token for every pod."""
        await rig.install(self._api)
        labels = {"ringfence.dev/enroll": "audit"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        await rig.create(self._api, namespace)
        await self._api.request(
            "POST", "/api/v1/nodes", body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        )
        await self._secrets()
        accounts = [f"svc-{number}" for number in range(max(1, self._count // PODS_OF_IDENTITY))]
        await rig.all_of(lambda obj: rig.create(self._api, obj), [account(each) for each in accounts])
        await rig.all_of(lambda obj: rig.create(self._api, obj), [identity(each) for each in accounts])
        await rig.all_of(lambda obj: rig.create(self._api, obj), [service(each) for each in accounts])
        pods = [pod(f"pod-{number}", accounts[number % len(accounts)]) for number in range(self._count)]
        await rig.all_of(self._one_pod, pods)
        await self.write_policy(0)

    async def write_policy(self, number: int) -> None:
        """A policy for every pod of the namespace: another one for every ``number``."""
        callers = [{"identity": {"namespace": NAMESPACE, "name": f"svc-{each}"}} for each in range(5)]
        policy = {
            "apiVersion": API_VERSION,
            "kind": "SecurityPolicy",
            "metadata": {"name": "all", "namespace": NAMESPACE},
            "spec": {"ingress": [{"name": f"rule-{number}", "from": callers, "ports": [8080]}]},
        }
        path = resources.SECURITY_POLICIES.path(NAMESPACE, "all")
        query = {"fieldManager": "bench", "force": "true"}
        await self._api.request("PATCH", path, query=query, body=policy, content_type=client.APPLY)

    def start(self) -> None:
        """Run proxyd."""
        file = self._place / "proxyd.yaml"
        settings = {"httpHost": "127.0.0.1", "httpPort": self._http, "logLevel": "warning", "proxy": {"enabled": True}}
        file.write_text(yaml.safe_dump(settings))
        command = [sys.executable, "-c", _PROGRAM, str(file), f"127.0.0.1:{self._port}", str(self._plane.kubeconfig)]
        environment = {**os.environ, "POD_NAMESPACE": rig.OWN, "POD_NAME": "bench"}
        environment.pop("KUBERNETES_SERVICE_HOST", None)
        self._child = subprocess.Popen(command, env=environment, stdout=sys.stderr)

    def kill(self) -> None:
        """End it without a word."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    @property
    def pid(self) -> int:
        """proxyd's."""
        if self._child is None:
            raise RuntimeError("proxyd does not run")
        return self._child.pid

    async def listening(self) -> None:
        """Return once proxyd takes connections."""
        deadline = time.monotonic() + _WITHIN
        while time.monotonic() < deadline:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
        raise TimeoutError("proxyd does not listen")

    def fake(self, pod: str) -> tuple[Any, Fake]:
        """A channel of its own, and the proxy of a pod on it."""
        from grpc import aio, ssl_channel_credentials  # noqa: PLC0415 (after ringfence.proxyd)

        options = [("grpc.ssl_target_name_override", HOST), ("grpc.use_local_subchannel_pool", 1)]
        credentials = ssl_channel_credentials(self._ca.certificate)
        channel = aio.secure_channel(f"127.0.0.1:{self._port}", credentials, options)
        call = channel.stream_stream(
            f"/{wire.SERVICE}/{wire.METHOD}",
            request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
            response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
        )
        stream = call(metadata=[("authorization", f"Bearer {self._tokens[pod]}")])
        return channel, Fake(stream, proxy.node_id(NAMESPACE, pod, self._uids[pod]))

    async def _secrets(self) -> None:
        leaf = serving.issue(self._ca, serving.names(rig.OWN, proxy.PROXYD_SERVICE), time.time(), 7)
        trust_domain = "cluster.local"
        root = make_root(trust_domain, time.time(), secrets.randbits(126) | 1 << 126)
        state = slots.first(trust_domain, root, time.time())
        encoded = {
            key: base64.b64encode(value).decode()
            for key, value in {"tls.crt": leaf.certificate, "tls.key": leaf.key}.items()
        }
        await rig.create(self._api, _secret("ringfence-proxyd-tls", "kubernetes.io/tls", encoded))
        await rig.create(self._api, _secret(store.SECRET_NAME, store.SECRET_TYPE, store.encode(state)))
        metadata = {"name": store.MARKER_NAME, "namespace": rig.OWN}
        marker = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": store.marker(state)}
        await rig.create(self._api, marker)

    async def _one_pod(self, pod: dict[str, Any]) -> None:
        await self._make_pod(pod)

    async def _make_pod(self, pod: dict[str, Any]) -> dict[str, Any]:
        made = await self._api.request("POST", resources.PODS.path(NAMESPACE), body=pod)
        name, number = made["metadata"]["name"], int(made["metadata"]["name"].rpartition("-")[2])
        self._uids[name] = made["metadata"]["uid"]
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        path = resources.PODS.path(NAMESPACE, name, "status")
        await self._api.request("PATCH", path, body={"status": status}, content_type=client.MERGE)
        reference = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": made["metadata"]["uid"]}
        spec = {
            "audiences": [proxy.AUDIENCE],
            "expirationSeconds": proxy.TOKEN_SECONDS,
            "boundObjectRef": reference,
        }
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        path = resources.SERVICE_ACCOUNTS.path(NAMESPACE, made["spec"]["serviceAccountName"], "token")
        self._tokens[name] = (await self._api.request("POST", path, body=body))["status"]["token"]
        found: dict[str, Any] = made
        return found


def rows() -> list[table.Row]:
    """The figures for each number of streams."""
    found: list[table.Row] = []
    for count in STREAMS:
        found += _rows(asyncio.run(_trial(count)))
    return found


def _rows(trial: Trial) -> list[table.Row]:
    count, goal = trial.streams, GOALS[trial.streams]
    median, worst = statistics.median(trial.changes), max(trial.changes)
    return [
        table.Row(f"{count} proxies connect at once: all configured", f"{trial.connect:.1f} s"),
        table.Row(
            f"policy write until acknowledged by {count}",
            f"median {median:.2f} s, worst of {len(trial.changes)} {worst:.2f} s",
            f"at most {goal} s",
            median <= goal,
        ),
        table.Row(f"processor time of proxyd for that change, {count}", f"{trial.cpu:.2f} s"),
        table.Row(
            f"memory of proxyd a stream, {count}",
            f"{trial.memory / 1024:.0f} KiB",
            f"at most {GOAL_MEMORY // 1024} KiB",
            trial.memory <= GOAL_MEMORY,
        ),
        table.Row(f"processor use while nothing happens, {count}", f"{trial.idle_cpu * 100:.1f} % of a core"),
        table.Row(f"proxyd killed and started: all {count} configured again", f"{trial.storm:.1f} s"),
    ]


async def _trial(count: int) -> Trial:
    with ControlPlane("bench-proxyd") as plane, tempfile.TemporaryDirectory() as place:
        async with rig.connected(plane.kubeconfig) as api:
            bench = Bench(plane, api, Path(place), count)
            rig.say(f"proxyd: making {count} pods and their tokens")
            await bench.populate()
            bench.start()
            try:
                return await _measured(bench, count)
            finally:
                bench.kill()


async def _measured(bench: Bench, count: int) -> Trial:
    await bench.listening()
    await asyncio.sleep(3)
    before = _resident(bench.pid)
    connect, fakes = await _connect(bench, count)
    await asyncio.sleep(5)
    memory = (_resident(bench.pid) - before) / count
    started, cpu = time.monotonic(), rig.cpu_seconds(bench.pid)
    await asyncio.sleep(5)
    idle = (rig.cpu_seconds(bench.pid) - cpu) / (time.monotonic() - started)
    cpu = rig.cpu_seconds(bench.pid)
    changes = []
    for number in range(1, CHANGES + 1):
        changes.append(await _change(bench, number, fakes))
        rig.say(f"proxyd: {count} streams, change {number}: {changes[-1]:.2f} s")
        await asyncio.sleep(2)
    cpu = (rig.cpu_seconds(bench.pid) - cpu) / CHANGES
    storm = await _storm(bench, count, fakes)
    return Trial(count, connect, memory, changes, cpu, idle, storm)


async def _connect(bench: Bench, count: int) -> tuple[float, list[Fake]]:
    """Open all streams; seconds until each has its listeners and routes."""
    started = time.monotonic()
    made = [bench.fake(f"pod-{number}") for number in range(count)]
    fakes = [fake for _, fake in made]
    for fake in fakes:
        fake.task = asyncio.create_task(fake.run())
    await _until(lambda: all(each.changes >= 2 for each in fakes), "all are configured")
    return max(each.at for each in fakes) - started, fakes


async def _change(bench: Bench, number: int, fakes: Sequence[Fake]) -> float:
    """Seconds from the write of another policy until the last proxy has it and has said so."""
    before = [each.changes for each in fakes]
    started = time.monotonic()
    await bench.write_policy(number)
    changed = zip(fakes, before, strict=True)
    known = list(changed)
    await _until(lambda: all(each.changes > had for each, had in known), "all have the policy")
    return max(each.at for each in fakes) - started


async def _storm(bench: Bench, count: int, fakes: Sequence[Fake]) -> float:
    """Kill proxyd, start it, and let all come back at once."""
    for each in fakes:
        each.stream.cancel()
    bench.kill()
    bench.start()
    await bench.listening()
    seconds, again = await _connect(bench, count)
    for each in again:
        each.stream.cancel()
    return seconds


async def _until(check: Any, what: str) -> None:
    deadline = time.monotonic() + _WITHIN
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {_WITHIN} s: {what}")
        await asyncio.sleep(0.02)


def _resident(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def account(name: str) -> dict[str, Any]:
    """A ServiceAccount."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}


def identity(name: str) -> dict[str, Any]:
    """A ServiceIdentity on the ServiceAccount of its name."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": API_VERSION, "kind": "ServiceIdentity", "metadata": metadata, "spec": {}}


def service(name: str) -> dict[str, Any]:
    """A Service of an identity."""
    spec = {"selector": {LABEL_IDENTITY: name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def pod(name: str, account: str) -> dict[str, Any]:
    """A Pod with the proxy in it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {LABEL_IDENTITY: account}},
        "spec": {
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "nodeName": NODE,
            "initContainers": [{"name": proxy.CONTAINER, "image": "localhost/proxy:1", "restartPolicy": "Always"}],
            "containers": [{"name": "main", "image": "localhost/none:1", "ports": [{"containerPort": 8080}]}],
        },
    }


def _secret(name: str, type_: str, data: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": rig.OWN}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": data}
