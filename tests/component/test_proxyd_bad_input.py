"""proxyd where things are not as they should be: clocks that are wrong, addresses that change."""

import asyncio
import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ringfence.inject import bootstrap
from ringfence.inject.injection import Injection
from ringfence.model import proxy
from ringfence.model.proxy_settings import ProxySettings
from ringfence.proxyd import assembly
from ringfence.proxyd.wire import Kind

from e2e.cluster import ports
from e2e.cluster.controlplane import ControlPlane
from e2e.envoy import binary
from tests.component import cluster
from tests.component.proxyd_envoy import Direct, Envoy
from tests.component.proxyd_rig import HOST, OWN, Plane, Server, named, running
from tests.component.test_proxyd import _says, call, tls_of_a_caller

pytestmark = pytest.mark.component


# --- clocks


@pytest.mark.parametrize("skew", [-300.0, 300.0], ids=["behind", "ahead"])
def test_a_replica_whose_clock_is_wrong_serves_all_the_same(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    """What it signs is valid in this very second for those whose clocks are right, and renewed in time."""

    class Wrong(assembly.SystemClock):
        def now(self) -> float:
            return super().now() + skew

    monkeypatch.setattr(assembly, "SystemClock", Wrong)

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied(f"clock-{'ahead' if skew > 0 else 'behind'}")
        (port,) = ports.free(1)
        async with plane.proxyd(Direct(port)) as serving:
            envoy = Envoy.start(binary(), serving, token, named(pod))
            try:
                await envoy.ready()
                (member,) = serving.parts.fleet
                await cluster.eventually(lambda: _true(member.acknowledged and member.certified), "it is served")
                assert await call(port, await tls_of_a_caller(plane, serving)) == "hello"
                assert member.svid is not None
                # Of the right time, not of its own: at least a third of the life is left when renewal is due.
                due = member.svid.renewal_time - skew
                assert time.time() + 300 < due
                assert due + (member.svid.not_after - time.time()) / 3 < member.svid.not_after
            finally:
                envoy.stop()

    running(control_plane, test)


def test_a_token_near_its_end_is_good_for_a_replica_whose_clock_is_ahead(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubelets ask for another after four fifths of its life: twelve minutes of an hour are left, five are wrong."""

    class Ahead(assembly.SystemClock):
        def now(self) -> float:
            return super().now() + 300

    monkeypatch.setattr(assembly, "SystemClock", Ahead)

    async def test(plane: Plane) -> None:
        pod, _ = await plane.proxied("near")
        token = await plane.token(pod, seconds=proxy.TOKEN_SECONDS // 5)
        async with plane.proxyd() as serving, serving.proxy(pod, token) as fake:
            assert set(await fake.start()) == set(Kind)

    running(control_plane, test)


async def _true(value: object) -> object:
    return value


# --- addresses


class Names:
    """A name server that knows one name; it says what ``address`` is at the moment (IPv4)."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.host = "127.0.0.77"
        self.asked = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.host, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                query, whom = self._socket.recvfrom(512)
                self._socket.sendto(self._answer(query), whom)

    def _answer(self, query: bytes) -> bytes:
        """RFC 1035 §4: the question comes back, with one A record where it fits."""
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12 : at + 5]
        known, kind = ".".join(labels) == self.name, struct.unpack("!H", query[at + 1 : at + 3])[0]
        self.asked += known
        record = b""
        if known and kind == 1:
            record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(self.address)
        head = struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, bool(record), 0, 0)
        return query[:2] + head + question + record


@contextlib.contextmanager
def by_name(directory: Path, pod: dict[str, object], token: str, server: Server, names: Names) -> Iterator[Path]:
    """An Envoy with the very bootstrap of injection, whose resolver is that name server; yields its admin socket."""
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    (directory / "run").mkdir()
    (directory / "token").write_text(token)
    (directory / "ca.crt").write_bytes(server.plane.ca.certificate)
    (directory / "resolv.conf").write_text(f"nameserver {names.host}\noptions timeout:1\n")
    for name, text in bootstrap.sds_files().items():
        (directory / name).write_text(text.replace(proxy.MOUNT, str(directory)))
    text = bootstrap.text(Injection(ProxySettings(enabled=True), OWN))
    values = {
        "$(POD_NAME)": metadata["name"],
        "$(POD_NAMESPACE)": metadata["namespace"],
        "$(POD_UID)": metadata["uid"],
        proxy.RUN_MOUNT: f"{directory}/run",
        proxy.MOUNT: str(directory),
        f'"port_value":{proxy.PROXYD_PORT}': f'"port_value":{server.port}',
    }
    for name, value in values.items():
        assert name in text, name
        text = text.replace(name, str(value))
    inside = f'mount --bind {directory}/resolv.conf /etc/resolv.conf && exec "$0" "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, str(binary()), "--config-yaml", text]
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen([*command, "--disable-hot-restart", "--concurrency", "1"], stdout=log, stderr=log)
    try:
        yield directory / "run" / "admin"
    finally:
        process.kill()
        process.wait()


def test_a_proxy_follows_proxyd_to_another_address(control_plane: ControlPlane, tmp_path: Path) -> None:
    """As it does when the Service is made anew: by its name, and it keeps all that it has meanwhile."""
    assert os.geteuid() == 0, "needs root"

    async def test(plane: Plane) -> None:
        pod, token = await plane.proxied("moving")
        port, own = ports.free(2)
        compiler = Direct(own)
        names = Names(HOST, "127.0.0.41")
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with plane.proxyd(compiler, address="127.0.0.41", port=port) as first:
                    stack.enter_context(by_name(tmp_path, pod, token, first, names))
                    await cluster.eventually(lambda: _served(first), "it finds proxyd", 40)
                    caller = await tls_of_a_caller(plane, first)
                    assert await call(own, caller) == "hello"
                assert await call(own, caller) == "hello", "it keeps what it has"
                compiler.body = "moved"
                async with plane.proxyd(compiler, address="127.0.0.42", port=port) as second:
                    await asyncio.sleep(2)
                    assert len(second.parts.fleet) == 0
                    assert await call(own, caller) == "hello"
                    names.address, began = "127.0.0.42", time.monotonic()
                    await cluster.eventually(lambda: _served(second), "it finds the other address", 30)
                    assert time.monotonic() - began < 15
                    # It has acknowledged it before its workers use it.
                    await cluster.eventually(lambda: _says(own, caller, "moved"), "it uses what is told there")
        finally:
            names.close()
        assert names.asked > 1

    running(control_plane, test)


async def _served(server: Server) -> bool:
    return any(each.acknowledged and each.certified for each in server.parts.fleet)
