"""From the write of a policy to its enforcement at one proxy: real API server, real proxyd, real Envoy, real calls.

The proxy is bootstrapped as an injected one, in the network of a pod with the redirect. A caller in mutual TLS asks it
over one open connection as fast as it answers; what is measured is when the answers change.
"""

import asyncio
import contextlib
import http.client
import json
import secrets
import socket
import ssl
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from subprocess import DEVNULL
from typing import Any, Final

from ringfence.inject import bootstrap
from ringfence.inject.injection import Injection
from ringfence.kube import client, resources
from ringfence.model import proxy
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.names import API_VERSION
from ringfence.model.proxy_settings import ProxySettings
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys, store, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.translate.admission_policy import CONDITION_ENFORCED

from bench import fortio, pods, rig, table
from bench import proxyd_cluster as proxyd
from bench.envoys import Envoy
from bench.proxyd_cluster import NAMESPACE
from e2e import envoy
from e2e.cluster.controlplane import ControlPlane

CHANGES: Final = 20
POLICIES: Final = 20
RETURNS: Final = 8
GOAL_MEDIAN, GOAL_WORST, GOAL_RETURN = 0.1, 0.3, 1.0
PORT: Final = 8080
SERVER, CALLER, STRANGER = "svc-0", "svc-1", "svc-2"
_TRUST_DOMAIN: Final = "cluster.local"
_POD: Final = "pod-0"
_WITHIN: Final = 30.0
#: Seconds of quiet before a change, about: drawn anew each time, so that no timer of anybody keeps step.
_QUIET: Final = (0.5, 1.5)


class Plane(proxyd.Bench):
    """A closed namespace with one pod under twenty policies."""

    async def populate(self) -> None:
        """Everything that proxyd reads, and the token of the pod."""
        await rig.install(self._api)
        labels = {"ringfence.dev/enroll": "enforce"}
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}}
        await rig.create(self._api, made)
        closed = {"type": CONDITION_ENFORCED, "status": "True", "reason": "Closed", "message": ""}
        path = resources.NAMESPACES.path("", NAMESPACE, "status")
        await self._api.request("PATCH", path, body={"status": {"conditions": [closed]}}, content_type=client.MERGE)
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": proxyd.NODE}}
        await self._api.request("POST", "/api/v1/nodes", body=node)
        await self._secrets()
        for account in (SERVER, CALLER, STRANGER):
            await rig.create(self._api, proxyd.account(account))
            await rig.create(self._api, proxyd.identity(account))
        service = proxyd.service(SERVER)
        service["spec"]["ports"][0]["appProtocol"] = "http"
        await rig.create(self._api, service)
        self.pod = await self._make_pod(proxyd.pod(_POD, SERVER))
        for number in range(1, POLICIES):
            await self.write(f"other-{number}", STRANGER)
        await self.write("measured", CALLER)

    async def write(self, name: str, caller: str) -> None:
        """A policy that lets one identity call the pod."""
        rule = {"name": "call", "from": [{"identity": {"namespace": NAMESPACE, "name": caller}}], "ports": [PORT]}
        policy = {
            "apiVersion": API_VERSION,
            "kind": "SecurityPolicy",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"appliesTo": {"identities": [SERVER]}, "ingress": [rule]},
        }
        path = resources.SECURITY_POLICIES.path(NAMESPACE, name)
        query = {"fieldManager": "bench", "force": "true"}
        await self._api.request("PATCH", path, query=query, body=policy, content_type=client.APPLY)

    async def caller(self, place: Path) -> ssl.SSLContext:
        """What an identity that calls shows, and whom it believes."""
        held = await self._api.request("GET", resources.SECRETS.path(rig.OWN, store.SECRET_NAME))
        marker = await self._api.request("GET", resources.CONFIG_MAPS.path(rig.OWN, store.MARKER_NAME))
        state = store.load(held, marker, _TRUST_DOMAIN, time.time())
        if state is None:
            raise RuntimeError("there is no CA")
        who, ends = SpiffeId.of_service_account(_TRUST_DOMAIN, NAMESPACE, CALLER), state.current.root.not_after
        leaf = template.leaf(who, (), ttl=3600, now=time.time(), serial=secrets.randbits(126), issuer_ends=ends)
        key = keys.generate(KeyAlgorithm.ECDSA_P256)
        file = place / "caller.pem"
        file.write_bytes(LocalSigner(state.current).sign_now(leaf, key.public_der) + key.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=state.bundle.decode())
        context.load_cert_chain(file)
        context.set_alpn_protocols([proxy.ALPN])
        return context

    @asynccontextmanager
    async def way_in(self, path: Path) -> AsyncIterator[None]:
        """A socket that leads to proxyd from any network."""
        server = await asyncio.start_unix_server(self._relay, path)
        _open_to_all(path)
        async with server:
            yield

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._ports[0])
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, there_writer), _carry(there_reader, writer))

    def sidecar(self, place: Path, way_in: Path) -> dict[str, Any]:
        """The bootstrap that injection gives a pod, with its files in ``place`` and proxyd behind a socket."""
        place.mkdir(exist_ok=True)
        (place / "token").write_text(self._tokens[_POD])
        (place / "ca.crt").write_bytes(self._ca.certificate)
        for name, text in bootstrap.sds_files().items():
            (place / name).write_text(text.replace(proxy.MOUNT, str(place)))
        metadata = self.pod["metadata"]
        text = bootstrap.text(Injection(ProxySettings(), rig.OWN))
        for old, new in {
            proxy.ADMIN_SOCKET: str(place / "admin"),
            proxy.MOUNT: str(place),
            "$(POD_NAMESPACE)": NAMESPACE,
            "$(POD_NAME)": metadata["name"],
            "$(POD_UID)": metadata["uid"],
        }.items():
            text = text.replace(old, new)
        made: dict[str, Any] = json.loads(text)
        for cluster in made["static_resources"]["clusters"]:
            if cluster["name"] == proxy.ADS_CLUSTER:
                del cluster["cluster_type"]
                cluster["type"] = "STATIC"
                (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
                endpoint["endpoint"]["address"] = {"pipe": {"path": str(way_in)}}
        return made


def _open_to_all(path: Path) -> None:
    path.chmod(0o777)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Asker:
    """Asks over one connection, again and again, and notes when the answer has become another one."""

    def __init__(self, pod: pods.Pod, context: ssl.SSLContext) -> None:
        self._pod = pod
        self._context = context
        self._end = threading.Event()
        self.answer = 0
        self.since = 0.0
        self.asked = 0
        self.error = ""

    @contextmanager
    def running(self) -> Iterator["Asker"]:
        """It asks while the block runs."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()

    async def says(self, answer: int) -> float:
        """When it was first answered so (monotonic), since it last changed. Raises TimeoutError."""
        deadline = time.monotonic() + _WITHIN
        while self.answer != answer:
            if time.monotonic() > deadline or self.error:
                raise TimeoutError(f"not answered {answer} but {self.answer} {self.error}")
            await asyncio.sleep(0.002)
        return self.since

    def _run(self) -> None:
        try:
            with self._pod.network.entered():
                raw = socket.create_connection((pods.SERVER, PORT), 10)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = http.client.HTTPConnection(pods.SERVER, PORT)
            connection.sock = self._context.wrap_socket(raw)
            while not self._end.is_set():
                connection.request("GET", "/echo?size=16")
                response = connection.getresponse()
                response.read()
                if response.status != self.answer:
                    self.answer, self.since = response.status, time.monotonic()
                self.asked += 1
                time.sleep(0.001)
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            self.error = repr(error)


def rows() -> list[table.Row]:
    """The figures."""
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as directory:
        place = Path(directory)
        _open_to_all(place)
        changes, returns, memory = asyncio.run(_trial(place))
    median, worst = statistics.median(changes), max(changes)
    return [
        table.Row(
            f"policy write until enforced at one proxy, median of {len(changes)}",
            f"{median * 1e3:.0f} ms",
            f"at most {GOAL_MEDIAN * 1e3:.0f} ms",
            median <= GOAL_MEDIAN,
        ),
        table.Row(
            "the same, the slowest",
            f"{worst * 1e3:.0f} ms",
            f"at most {GOAL_WORST * 1e3:.0f} ms",
            worst <= GOAL_WORST,
        ),
        table.Row(
            "policy written while proxyd was away: in force after it listens again, median",
            f"{statistics.median(returns) * 1e3:.0f} ms, slowest of {len(returns)} {max(returns) * 1e3:.0f} ms",
            f"at most {GOAL_RETURN * 1e3:.0f} ms",
            statistics.median(returns) <= GOAL_RETURN,
        ),
        table.Row("memory of that proxy, configured by proxyd", f"{memory / 2**20:.1f} MiB"),
    ]


async def _trial(place: Path) -> tuple[list[float], list[float], int]:
    pair = pods.Pair.make()
    try:
        with ControlPlane("bench-enforcement") as plane:
            async with rig.connected(plane.kubeconfig) as api:
                found = Plane(plane, api, place, 1)
                rig.say("enforcement: one pod under twenty policies")
                await found.populate()
                found.start()
                try:
                    return await _measured(found, pair, place)
                finally:
                    found.kill()
    finally:
        pair.close()


async def _measured(plane: Plane, pair: pods.Pair, place: Path) -> tuple[list[float], list[float], int]:
    await plane.listening()
    pair.server.start(fortio.server(pods.readable(fortio.program(), place), PORT), output=DEVNULL)
    context = await plane.caller(place)
    async with plane.way_in(place / "proxyd"):
        own = place / "sidecar"
        config = plane.sidecar(own, place / "proxyd")
        started = Envoy.start(pods.readable(envoy.binary(), place), pair.server, own, config, own / "admin")
        await asyncio.to_thread(started.ready)
        pair.server.redirect()
        with Asker(pair.caller, context).running() as asker:
            await asker.says(200)
            changes = [await _change(plane, asker, number) for number in range(CHANGES)]
            rig.say(f"enforcement: {asker.asked} calls, {', '.join(f'{each * 1e3:.0f}' for each in changes)} ms")
            returns = [await _return(plane, asker, number) for number in range(RETURNS)]
            return changes, returns, started.memory().anonymous


async def _change(plane: Plane, asker: Asker, number: int) -> float:
    """Close and open in turns; seconds from before the write until the first answer that follows it."""
    first, last = _QUIET
    await asyncio.sleep(first + (last - first) * secrets.randbelow(1000) / 1000)
    caller, answer = ((STRANGER, 403), (CALLER, 200))[number % 2]
    started = time.monotonic()
    await plane.write("measured", caller)
    return await asker.says(answer) - started


async def _return(plane: Plane, asker: Asker, number: int) -> float:
    """Write while proxyd is away; seconds from its listening again until the policy is in force."""
    caller, answer = ((STRANGER, 403), (CALLER, 200))[number % 2]
    plane.kill()
    await plane.write("measured", caller)
    await asyncio.sleep(3)
    if asker.answer == answer:
        raise RuntimeError("the policy was in force without proxyd")
    plane.start()
    await plane.listening()
    started = time.monotonic()
    return max(0.0, await asker.says(answer) - started)
