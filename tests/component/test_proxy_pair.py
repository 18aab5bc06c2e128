"""Two pods with the redirect of `node` and real Envoys, one calling the other with every kind of traffic, by both
families: what scenarios see on a node (e2e/scenarios/test_proxy_traffic.py), without one.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from ringfence.model import proxy
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.world import Installation, Workload
from ringfence.translate import envoy as translator
from ringfence.translate.envoy import static

from e2e import envoy
from e2e.cluster import debian
from e2e.traffic.__main__ import FRAMES, LINES, STREAMS, WEB
from e2e.traffic.place import REFUSED
from tests.component import proxy_net
from tests.component.node_rig import eventually
from tests.component.proxy_net import Identities
from tests.component.redirect_rig import PEER4, PEER6, POD4, POD6, PROGRAM, PROXY, Place, Wire
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

SERVICE4, SERVICE6 = "10.96.0.1", "fd00:96::1"
PORTS = (
    ServicePort("http", 80, WEB),
    ServicePort("http2-frames", 81, FRAMES),
    ServicePort("calls", 82, STREAMS, app_protocol="grpc"),
    ServicePort("tcp-lines", LINES, LINES),
)
CONTAINERS = [{"name": "c", "ports": [{"containerPort": each} for each in (WEB, FRAMES, STREAMS, LINES)]}]
#: What is asked, on which port of the Service and of the pod, and what it comes to.
KINDS = (
    ("kept", 80, WEB, "200"),
    ("websocket", 80, WEB, "101"),
    ("frames", 81, FRAMES, "200"),
    ("streams", 82, STREAMS, "OK"),
    ("lines", LINES, LINES, "greeted"),
)
MEGABYTES = 256
MOST = 24 << 20
BY = {"IPv4": (SERVICE4, POD4), "IPv6": (SERVICE6, POD6)}


def _workload(name: str, four: str, six: str) -> Workload:
    return Workload(namespace="shop", name=name, service_account=name, labels={LABEL_IDENTITY: name}, ips=(four, six))


def _mesh() -> Mesh:
    """friend and the server itself may call server; both have both families."""
    pods = (_workload("server", POD4, POD6), _workload("friend", PEER4, PEER6))
    known = policies.world(
        policy(ingress=(allow("friends", caller("friend"), caller("server")),)),
        pods=pods,
        identities=tuple(policies.identity("shop", each.name) for each in pods),
        installation=Installation(pod_cidrs=("10.9.0.0/24", "fd09::/64"), open_services=()),
    )
    service = ServiceValue("shop", "server", (SERVICE4, SERVICE6), PORTS, ((LABEL_IDENTITY, "server"),))
    told = tuple(EndpointValue("server", each) for each in (POD4, POD6))
    return making.mesh(known, {"shop": (service,)}, {("shop", "server"): told})


@dataclass
class Pair:
    """The two pods; ``as_who`` names the identity whose certificate the caller's proxy shows."""

    wire: Wire
    home: Path
    identities: Identities
    proxies: dict[str, int]

    @contextlib.contextmanager
    def proxied(self, place: Place, account: str, shown: str) -> Iterator[None]:
        """Envoy with the configuration of an identity, under the proxy's user, ready."""
        pod = making.pod(account, containers=CONTAINERS if account == "server" else [])
        four, six = (POD4, POD6) if account == "server" else (PEER4, PEER6)
        pod["status"] = {"podIPs": [{"ip": four}, {"ip": six}]}
        known = _mesh()
        config = translator.configure(translator.subject(pod, known), known)
        admin = self.home / f"{account}.sock"
        admin.unlink(missing_ok=True)
        bootstrap = static.bootstrap(config, self.identities.secrets("shop", shown), admin=str(admin))
        file = self.home / f"{account}.json"
        file.write_text(json_format.MessageToJson(bootstrap, preserving_proto_field_name=True))
        log = self.home / f"{account}.log"
        command = [
            *("nsenter", f"--net={place.namespace.path}", "setpriv", f"--reuid={PROXY}", f"--regid={PROXY}"),
            *("--clear-groups", "--no-new-privs", "--bounding-set=-all", str(envoy.binary())),
            *("-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"),
        ]
        with log.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
            try:
                eventually(lambda: b" 200 " in proxy_net.ask(admin, "/ready")[:20] or process.poll() is not None, 30)
                assert process.poll() is None, log.read_text()[-2000:]
                self.proxies[account] = process.pid
                yield
            finally:
                process.kill()

    def ask(self, place: Place, *arguments: object) -> dict[str, Any]:
        """What a program's call comes to."""
        user = ("setpriv", f"--reuid={PROGRAM}", f"--regid={PROGRAM}", "--clear-groups")
        command = (*user, sys.executable, "-m", "e2e.traffic", "ask", *map(str, arguments))
        entered = ["nsenter", f"--net={place.namespace.path}", *command]
        done = subprocess.run(entered, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def memory(self, account: str, what: str) -> int:
        """Bytes that a proxy has (VmRSS), or the most since it was last asked (VmHWM)."""
        process = Path(f"/proc/{self.proxies[account]}")
        lines = [each.split() for each in (process / "status").read_text().splitlines() if each.startswith(what)]
        (process / "clear_refs").write_text("5")
        return int(lines[0][1]) * 1024


@pytest.fixture(scope="module")
def bare() -> Iterator[Pair]:
    """The pods with redirects and the server's program; nobody has a proxy yet."""
    debian.ensure(("nft", "ip", "setpriv"))
    # Short and open to the proxies' user: it holds sockets.
    with tempfile.TemporaryDirectory(prefix="rf") as name, Wire() as wire:
        home = Path(name)
        home.chmod(0o777)
        wire.peer.run("ip", "addr", "add", f"{proxy.INBOUND_SOURCE_V6}/128", "dev", "lo")
        for place in (wire.pod, wire.peer):
            place.run("ip", "route", "add", f"{SERVICE4}/32", "dev", "eth0")
            place.run("ip", "route", "add", f"{SERVICE6}/128", "dev", "eth0")
            place.redirect()
        program = ["nsenter", f"--net={wire.pod.namespace.path}", sys.executable, "-m", "e2e.traffic", "serve"]
        with subprocess.Popen(program) as served:
            try:
                eventually(lambda: f":{WEB}" in wire.pod.run("ss", "-Hltn"), 20)
                yield Pair(wire, home, Identities(home, "cluster.local"), {})
            finally:
                served.kill()


@pytest.fixture(scope="module")
def pair(bare: Pair, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both with their proxies; the caller's has the friend's configuration and shows the certificate of ``param``."""
    with (
        bare.proxied(bare.wire.pod, "server", "server"),
        bare.proxied(bare.wire.peer, "friend", request.param),
    ):
        yield bare


FRIEND = pytest.mark.parametrize("pair", ["friend"], indirect=True)
STRANGER = pytest.mark.parametrize("pair", ["stranger"], indirect=True)


@FRIEND
@pytest.mark.parametrize("family", list(BY))
@pytest.mark.parametrize(("kind", "port", "own", "outcome"), KINDS)
def test_every_kind_of_traffic_gets_there(
    pair: Pair, family: str, kind: str, port: int, own: int, outcome: str
) -> None:
    service, pod = BY[family]
    for host, number in ((service, port), (pod, own)):
        found = pair.ask(pair.wire.peer, kind, host, number)
        assert found["outcome"] == outcome, (host, found)
        if kind == "kept":
            assert (found["taken"], found["trailers"]) == ("11", {"x-sum": "abc"})
        if kind == "frames":
            assert found["whole"] == 20


@FRIEND
@pytest.mark.parametrize("family", list(BY))
def test_a_pod_calls_itself_through_both_of_its_sides(pair: Pair, family: str) -> None:
    service, pod = BY[family]
    for host, port in ((service, 80), (pod, WEB)):
        found = pair.ask(pair.wire.pod, "web", host, port)
        assert "spiffe://cluster.local/ns/shop/sa/server" in found["said"]["from"], (host, found)


@FRIEND
@pytest.mark.parametrize(("port", "what"), [(80, "HTTP"), (WEB, "bytes")])
def test_large_bodies_take_no_memory(pair: Pair, port: int, what: str) -> None:
    host = SERVICE4 if port == 80 else POD4
    before = {each: pair.memory(each, "VmRSS") for each in pair.proxies}
    found = pair.ask(pair.wire.peer, "large", host, port, f"--size={MEGABYTES << 20}")
    assert (found["outcome"], found["up"], found["down"]) == ("200", MEGABYTES << 20, MEGABYTES << 20)
    grown = {each: pair.memory(each, "VmHWM") - then for each, then in before.items()}
    assert max(grown.values()) < MOST, (what, grown)


@STRANGER
@pytest.mark.parametrize(("kind", "port", "own", "outcome"), KINDS)
def test_a_stranger_gets_nowhere_even_with_the_friends_configuration(
    pair: Pair, kind: str, port: int, own: int, outcome: str
) -> None:
    del outcome
    for host, number in ((SERVICE4, port), (POD6, own)):
        assert pair.ask(pair.wire.peer, kind, host, number)["outcome"] in REFUSED, host
