"""The redirect and a real Envoy under the proxy's user: what one promises is what the other needs.

Plain TCP both ways, no policy: which way connections go is all that matters here.
"""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ringfence.model import proxy

from e2e import envoy
from e2e.cluster import debian
from tests.component.node_rig import eventually
from tests.component.redirect_rig import PEER4, PEER6, POD4, POD6, PROXY, Wire

pytestmark = pytest.mark.component

PORT = 8080
BOTH = pytest.mark.parametrize(("pod", "peer"), [(POD4, PEER4), (POD6, PEER6)], ids=["IPv4", "IPv6"])
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
ORIGINAL = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"


def _listener(name: str, port: int, cluster: str) -> dict[str, Any]:
    return {
        "name": name,
        "address": {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": True}},
        "listener_filters": [{"name": "original_dst", "typed_config": {"@type": ORIGINAL}}],
        "filter_chains": [
            {"filters": [{"name": "tcp", "typed_config": {"@type": TCP, "stat_prefix": name, "cluster": cluster}}]}
        ],
    }


def _cluster(name: str, **rest: Any) -> dict[str, Any]:
    return {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s", **rest}


def _bootstrap(admin: Path) -> dict[str, Any]:
    four, six = (
        {"address": address, "port_value": 0} for address in (proxy.INBOUND_SOURCE_V4, proxy.INBOUND_SOURCE_V6)
    )
    own = {"source_address": four, "extra_source_addresses": [{"address": six}]}
    return {
        "admin": {"address": {"pipe": {"path": str(admin)}}},
        "static_resources": {
            "listeners": [
                _listener("in", proxy.INBOUND_PORT, "program"),
                _listener("out", proxy.OUTBOUND_PORT, "outside"),
            ],
            "clusters": [_cluster("program", upstream_bind_config=own), _cluster("outside")],
        },
    }


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wire, Path]]:
    """A pod with its redirect and an Envoy that has both listeners."""
    debian.ensure(("nft", "ip", "setpriv", "curl"))
    home = tmp_path_factory.mktemp("envoy")
    admin = Path("/tmp") / f"rf-{home.name}-{PROXY}.sock"
    with Wire() as made:
        made.pod.redirect()
        command = [
            *("nsenter", f"--net={made.pod.namespace.path}", "setpriv", f"--reuid={PROXY}", f"--regid={PROXY}"),
            *("--clear-groups", "--no-new-privs", "--bounding-set=-all", str(envoy.binary())),
            *("--config-yaml", json.dumps(_bootstrap(admin)), "--concurrency", "1", "--disable-hot-restart"),
            *("--log-level", "error"),
        ]
        process = subprocess.Popen(command)
        try:
            eventually(lambda: _listens(made) or process.poll(), 60)
            assert process.poll() is None
            yield made, admin
        finally:
            process.kill()
            process.wait()
            admin.unlink(missing_ok=True)


def _listens(wire: Wire) -> bool:
    found = wire.pod.run("ss", "-Hltn")
    return str(proxy.INBOUND_PORT) in found and str(proxy.OUTBOUND_PORT) in found


def _count(admin: Path, name: str) -> int:
    """Connections that a listener has had."""
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", str(admin), f"http://localhost/stats?filter=tcp.{name}.downstream_cx_total"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.rpartition(":")[2])


def _echo(door: socket.socket, seen: list[str]) -> None:
    """Answer one connection in upper case."""
    accepted, source = door.accept()
    with accepted:
        seen.append(source[0].removeprefix("::ffff:"))
        while data := accepted.recv(1024):
            accepted.sendall(data.upper())


def _asked(door: socket.socket, client: socket.socket) -> tuple[bytes, str]:
    """What a program answers through whatever is between, and from where it saw the caller come."""
    seen: list[str] = []
    server = threading.Thread(target=_echo, args=(door, seen))
    server.start()
    with client:
        client.sendall(b"hello")
        answer = client.recv(100)
    server.join(5)
    return answer, seen[0]


@BOTH
def test_a_caller_reaches_the_program_through_the_proxy(wire: tuple[Wire, Path], pod: str, peer: str) -> None:
    made, admin = wire
    before = _count(admin, "in"), _count(admin, "out")
    with made.pod.listening(PORT) as doors:
        answer, source = _asked(doors._doors[PORT], made.peer.connect(pod, PORT))
    assert answer == b"HELLO"
    assert source == (proxy.INBOUND_SOURCE_V6 if ":" in pod else proxy.INBOUND_SOURCE_V4)
    assert (_count(admin, "in"), _count(admin, "out")) == (before[0] + 1, before[1])


@BOTH
def test_the_program_reaches_others_through_the_proxy(wire: tuple[Wire, Path], pod: str, peer: str) -> None:
    made, admin = wire
    before = _count(admin, "in"), _count(admin, "out")
    with made.peer.listening(PORT) as doors:
        answer, source = _asked(doors._doors[PORT], made.pod.connect(peer, PORT))
    assert answer == b"HELLO"
    assert source == pod
    assert (_count(admin, "in"), _count(admin, "out")) == (before[0], before[1] + 1)


@BOTH
def test_a_pod_that_calls_itself_passes_both_sides_once(wire: tuple[Wire, Path], pod: str, peer: str) -> None:
    made, admin = wire
    before = _count(admin, "in"), _count(admin, "out")
    with made.pod.listening(PORT) as doors:
        answer, _ = _asked(doors._doors[PORT], made.pod.connect(pod, PORT))
    assert answer == b"HELLO"
    assert (_count(admin, "in"), _count(admin, "out")) == (before[0] + 1, before[1] + 1)


@BOTH
@pytest.mark.parametrize("port", [proxy.INBOUND_PORT, proxy.OUTBOUND_PORT])
def test_no_connection_runs_in_circles(wire: tuple[Wire, Path], pod: str, peer: str, port: int) -> None:
    """To a proxy's own port, by every address and from everywhere: the end is an end, and Envoy is not kept busy."""
    made, admin = wire
    before = _count(admin, "in") + _count(admin, "out")
    for place, address in ((made.peer, pod), (made.pod, pod), (made.pod, "::1" if ":" in pod else "127.0.0.1")):
        try:
            with place.connect(address, port) as client:
                client.sendall(b"hello")
                assert client.recv(100) == b""
        except ConnectionError:
            pass
    assert _count(admin, "in") + _count(admin, "out") <= before + 2
