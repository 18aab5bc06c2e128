"""The bootstrap, as Envoy itself sees it: with files as a kubelet puts them there, and a server for proxyd."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import discovery_pb2
from ringfence.inject import bootstrap, sidecar
from ringfence.inject.injection import Injection
from ringfence.model import proxy
from ringfence.model.proxy_settings import ProxySettings
from ringfence.pki import serving

from e2e import envoy
from e2e.cluster import ports
from tests.unit.inject.making import HOW

SERVER = "ringfence-proxyd.ringfence-system.svc"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """What the kubelet would have put into the volume."""
    (tmp_path / "run").mkdir()
    (tmp_path / "token").write_text("a-token")
    (tmp_path / "ca.crt").write_bytes(serving.make_ca(time.time(), 7).certificate)
    for name, text in bootstrap.sds_files().items():
        (tmp_path / name).write_text(text.replace(proxy.MOUNT, str(tmp_path)))
    return tmp_path


def arguments(files: Path, how: Injection = HOW) -> list[str]:
    """The container's arguments as the kubelet and the volumes make them."""
    made = sidecar.container(how, 2_000_000_000)["args"]
    values = {"$(POD_NAME)": "p-1", "$(POD_NAMESPACE)": "shop", "$(POD_UID)": "7d3a"}
    for name, value in values.items():
        made = [each.replace(name, value) for each in made]
    return [each.replace(proxy.RUN_MOUNT, f"{files}/run").replace(proxy.MOUNT, str(files)) for each in made]


@pytest.mark.parametrize(
    "settings",
    [
        ProxySettings(),
        ProxySettings(limits=(), requests=()),
        ProxySettings(limits=(("memory", "0.5Gi"),), concurrency=64, drain_seconds=600, log_level="critical"),
    ],
)
def test_envoy_takes_it(files: Path, settings: ProxySettings) -> None:
    command = [str(envoy.binary()), "--mode", "validate", *arguments(files, Injection(settings, "other"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in ("deprecated", "envoy bug"):
        assert line not in done.stderr


def test_envoy_runs_by_it(files: Path) -> None:
    """It waits for proxyd without being ready, shows its admin interface on the socket alone, and ends when told."""
    process = subprocess.Popen(
        [str(envoy.binary()), *arguments(files)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    path = f"{files}/run/admin"
    try:
        end = time.monotonic() + 60
        while not answers(path) and time.monotonic() < end:
            time.sleep(0.05)
        assert Path(path).stat().st_mode & 0o777 == 0o600
        assert ask(path, "/ready")[0] == 503
        node = json.loads(ask(path, "/config_dump?mask=bootstrap.node")[1])["configs"][0]["bootstrap"]["node"]
        assert node["id"] == "shop/p-1/7d3a"
        names = {line.partition(":")[0] for line in ask(path, "/stats")[1].decode().splitlines()}
        assert "control_plane.connected_state" in names
        assert not [name for name in names if name.startswith(("runtime.", "filesystem.", "dns."))]
        assert listening(process.pid) == []
    finally:
        process.terminate()
        assert process.wait(10) == 0


def answers(path: str) -> bool:
    """Whether somebody listens on the socket, which is there a moment before."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as tried:
        tried.connect(path)
        return True
    return False


def ask(path: str, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("admin")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("GET", target)
    answer = connection.getresponse()
    return answer.status, answer.read()


def listening(pid: int) -> list[str]:
    """The TCP sockets on which a process listens."""
    own = {os.readlink(each) for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.append(fields[1])
    return found


# --- proxyd


class Proxyd:
    """A server that notes who asks, and says nothing."""

    def __init__(self) -> None:
        (self.port,) = ports.free(1)
        self.asked: list[tuple[str, str]] = []
        self.server: grpc.Server | None = None
        self._end = threading.Event()

    def start(self, ca: serving.Pair, name: str = SERVER) -> None:
        leaf = serving.issue(ca, [name], time.time(), 9)
        credentials = grpc.ssl_server_credentials([(leaf.key, leaf.certificate)])
        handler = grpc.stream_stream_rpc_method_handler(
            self._serve, request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString
        )
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
        self.server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, {"DeltaAggregatedResources": handler})]
        )
        self._end = threading.Event()
        assert self.server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        self.server.start()

    def stop(self) -> None:
        self._end.set()
        if self.server is not None:
            self.server.stop(0).wait()

    def _serve(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[bytes]:
        told = dict(context.invocation_metadata())
        self.asked.append((str(told.get("authorization")), next(requests).node.id))
        self._end.wait()
        yield from ()

    def wait(self, expected: tuple[str, str], within: float = 40) -> None:
        end = time.monotonic() + within
        while expected not in self.asked:
            assert time.monotonic() < end, self.asked
            time.sleep(0.05)


def swap(files: Path, name: str, content: bytes) -> None:
    """A file takes the place of the former, as in a kubelet's volume."""
    new = files / f"{name}.new"
    new.write_bytes(content)
    new.rename(files / name)


@pytest.fixture
def running(files: Path) -> Iterator[tuple[Path, Proxyd, serving.Pair]]:
    """An Envoy, the server that it looks for, and the CA that it trusts."""
    ca = serving.make_ca(time.time(), 7)
    (files / "ca.crt").write_bytes(ca.certificate)
    server = Proxyd()
    where = [
        each.replace(f'"address":"{SERVER}","port_value":15012', f'"address":"127.0.0.1","port_value":{server.port}')
        for each in arguments(files)
    ]
    assert where != arguments(files)
    process = subprocess.Popen([str(envoy.binary()), *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield files, server, ca
    finally:
        process.kill()
        process.wait()
        server.stop()


def test_it_shows_its_token_to_proxyd_and_to_nobody_else(running: tuple[Path, Proxyd, serving.Pair]) -> None:
    _, server, ca = running
    server.start(serving.make_ca(time.time(), 8))
    time.sleep(3)
    assert server.asked == [], "a server of another CA was shown the token"
    server.stop()
    server.start(ca, "another.ringfence-system.svc")
    time.sleep(3)
    assert server.asked == [], "a server of another name was shown the token"
    server.stop()
    server.start(ca)
    server.wait(("Bearer a-token", "shop/p-1/7d3a"))


def test_token_and_roots_rotate_without_a_restart(running: tuple[Path, Proxyd, serving.Pair]) -> None:
    files, server, ca = running
    server.start(ca)
    server.wait(("Bearer a-token", "shop/p-1/7d3a"))
    swap(files, "token", b"another-token")
    other = serving.make_ca(time.time(), 8)
    swap(files, "ca.crt", ca.certificate + other.certificate)
    time.sleep(1)
    server.stop()
    server.start(other)
    server.wait(("Bearer another-token", "shop/p-1/7d3a"))
