"""A pod's network as the proxy sees it: two network namespaces on one link, and the redirect in the pod's.

Callers have any addresses that a test gives them. Everything that comes to the pod goes to the proxy's inbound port, as
`ringfence run node` would have it; what the proxy sends on to the program ends at one program, whatever the port.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3 import bootstrap_pb2
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format
from ringfence.model import proxy
from ringfence.model.ca import Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.proxy import ProxyConfig
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys, root, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.translate.envoy import messages, static

from e2e import envoy
from e2e.cluster import debian

PEERS = Path(__file__).with_name("proxy_peers.py")
PROGRAM_PORT = 19999
#: Addresses that the fixture ``net`` gives: the pod's, and those of two callers.
POD, WEB, API = "10.244.0.1", "10.244.0.2", "10.244.0.3"
#: The user of programs in the pod that call out.
CALLER_UID = 12345

_REDIRECT = f"""
table inet ringfence {{
  chain inbound {{
    type nat hook prerouting priority dstnat; policy accept;
    tcp dport != {proxy.STATUS_PORT} redirect to :{proxy.INBOUND_PORT}
  }}
  chain program {{
    type nat hook output priority -100; policy accept;
    ip daddr 127.0.0.0/8 return
    ip6 daddr ::1 return
    ip saddr {proxy.INBOUND_SOURCE_V4} meta l4proto tcp redirect to :{PROGRAM_PORT}
    ip6 saddr {proxy.INBOUND_SOURCE_V6} meta l4proto tcp redirect to :{PROGRAM_PORT}
    meta skuid {CALLER_UID} oifname != "lo" meta l4proto tcp redirect to :{proxy.OUTBOUND_PORT}
    oifname "lo" meta skuid 0 meta l4proto tcp redirect to :{proxy.INBOUND_PORT}
  }}
}}
"""

_EVERYBODY = f"""
table ip pods {{
  chain everybody {{
    type nat hook prerouting priority dstnat; policy accept;
    meta l4proto tcp redirect to :{PROGRAM_PORT}
  }}
}}
"""


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, input=text, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


class Identities:
    """A CA of the trust domain, and certificates of identities as files."""

    def __init__(self, directory: Path, trust_domain: str, *, skew: float = 0.0, slot: Slot | None = None) -> None:
        """``skew``: by how many seconds the signer's clock is ahead. ``slot``: that of another signer."""
        self._directory = directory
        self.trust_domain = trust_domain
        self._now = time.time() + skew
        self.slot = slot or root.make_root(trust_domain, self._now, serial=1 << 70)
        self._signer = LocalSigner(self.slot)
        self.roots = self.slot.root.certificate
        self.roots_file = directory / "roots.pem"
        self.roots_file.write_bytes(self.roots)
        self._files: dict[tuple[str, str], tuple[str, str, str]] = {}

    def beside(self, skew: float) -> "Identities":
        """Another replica that signs with the same root, by a clock of its own."""
        return Identities(self._directory, self.trust_domain, skew=skew, slot=self.slot)

    def pair(self, namespace: str, account: str) -> tuple[bytes, bytes]:
        """Certificate and key of an identity, in PEM."""
        key = keys.generate(KeyAlgorithm.ECDSA_P256)
        wanted = template.leaf(
            SpiffeId.of_service_account(self.trust_domain, namespace, account),
            (),
            ttl=3600,
            now=self._now,
            serial=int.from_bytes(os.urandom(12), "big") | 1 << 95,
            issuer_ends=self.slot.root.not_after,
        )
        return self._signer.sign_now(wanted, key.public_der), key.pem

    def secrets(self, namespace: str, account: str) -> tuple[Any, ...]:
        """The secrets of an identity's proxy."""
        chain, key = self.pair(namespace, account)
        return (
            static.identity_secret(chain.decode(), key.decode()),
            static.bundle_secret(self.trust_domain, self.roots.decode()),
        )

    def files(self, namespace: str, account: str) -> tuple[str, str, str]:
        """The same as files, with the roots: what a caller loads."""
        if (namespace, account) not in self._files:
            chain, key = self.pair(namespace, account)
            paths = [self._directory / f"{namespace}.{account}.{kind}" for kind in ("crt", "key")]
            for path, content in zip(paths, (chain, key), strict=True):
                path.write_bytes(content)
            self._files[namespace, account] = (str(paths[0]), str(paths[1]), str(self.roots_file))
        return self._files[namespace, account]


@dataclass(slots=True)
class Net:
    """The two namespaces. ``pod`` holds the proxy and its program, ``callers`` everybody else."""

    name: str
    directory: Path
    _mine: dict[str, set[str]] = field(default_factory=lambda: {"pod": set(), "callers": set()})

    def place(self, side: str) -> str:
        return f"{self.name}-{side}"

    def command(self, side: str, *command: str) -> list[str]:
        """A command inside one of them."""
        return ["ip", "netns", "exec", self.place(side), *command]

    def give(self, side: str, addresses: Iterable[str]) -> None:
        """Make these the addresses of a side; the other's lose them."""
        for address in addresses:
            for other in self._mine:
                if other != side and address in self._mine[other]:
                    self._address("del", other, address)
                    self._mine[other].discard(address)
            if address not in self._mine[side]:
                self._address("add", side, address)
                self._mine[side].add(address)
        self._routes()

    def _routes(self) -> None:
        """The routes to the other side, which go when a side loses its last address."""
        for side, mine in self._mine.items():
            from_ = ["src", next(a for a in sorted(mine) if ":" not in a)] if mine else []
            run(*self.command(side, "ip", "route", "replace", "default", "dev", side, *from_))
            run(*self.command(side, "ip", "-6", "route", "replace", "default", "dev", side))

    def _address(self, verb: str, side: str, address: str) -> None:
        wide = ("128", ["nodad"] if verb == "add" else []) if ":" in address else ("32", [])
        run(*self.command(side, "ip", "addr", verb, f"{address}/{wide[0]}", "dev", side, *wide[1]))

    def call(self, wanted: list[dict[str, Any]], side: str = "callers") -> list[str]:
        """What came of each call: ``allowed``, ``denied`` or ``error: ...``; from the pod they go through the proxy."""
        path = self.directory / "calls.json"
        path.write_text(json.dumps(wanted))
        user = [str(CALLER_UID)] if side == "pod" else []
        command = self.command(side, sys.executable, str(PEERS), "calls", str(path), *user)
        found: list[str] = json.loads(run(*command))
        return found

    @contextmanager
    def pods(self, identities: Mapping[str, tuple[str, str, str]]) -> Iterator[None]:
        """Everybody else answers, those of ``identities`` (by address) in mutual TLS too."""
        path = self.directory / "pods.json"
        path.write_text(json.dumps(identities))
        run(*self.command("callers", "nft", "-f", "-"), text=_EVERYBODY)
        try:
            with listening(self.command("callers", sys.executable, str(PEERS), "pods", str(PROGRAM_PORT), str(path))):
                yield
        finally:
            run(*self.command("callers", "nft", "delete", "table", "ip", "pods"))


@contextmanager
def network(directory: Path, program: Iterable[str] = (str(PEERS), "program")) -> Iterator[Net]:
    """Two namespaces on one link, with the redirect and the program in the pod's; taken down at the end."""
    debian.ensure(("nft", "ip"))
    net = Net(f"rf{os.getpid()}", directory)
    try:
        for side in ("pod", "callers"):
            run("ip", "netns", "add", net.place(side))
        run(
            "ip",
            "link",
            "add",
            "pod",
            "netns",
            net.place("pod"),
            "type",
            "veth",
            "peer",
            "name",
            "callers",
            "netns",
            net.place("callers"),
        )
        for side in ("pod", "callers"):
            for link in ("lo", side):
                run(*net.command(side, "ip", "link", "set", link, "up"))
        run(*net.command("pod", "ip", "addr", "add", f"{proxy.INBOUND_SOURCE_V6}/128", "dev", "lo", "nodad"))
        run(*net.command("pod", "nft", "-f", "-"), text=_REDIRECT)
        with listening(net.command("pod", sys.executable, *program, str(PROGRAM_PORT))):
            yield net
    finally:
        for side in ("pod", "callers"):
            subprocess.run(["ip", "netns", "del", net.place(side)], capture_output=True, check=False)


@contextmanager
def listening(command: list[str]) -> Iterator[None]:
    """A program of proxy_peers.py that listens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        try:
            yield
        finally:
            process.terminate()


@contextmanager
def running(net: Net, config: ProxyConfig, secrets: Iterable[Any], **rest: Any) -> Iterator[Path]:
    """Envoy with a configuration in the pod's namespace, ready; yields the file that it writes its logs to."""
    admin = net.directory / "admin.sock"
    admin.unlink(missing_ok=True)
    bootstrap = static.bootstrap(config, secrets, admin=str(admin), **rest)
    path, log = net.directory / "envoy.json", net.directory / "envoy.log"
    path.write_text(json_format.MessageToJson(bootstrap, preserving_proto_field_name=True))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--drain-time-s", "1"]
    with log.open("w") as stream:
        command = net.command("pod", str(envoy.binary()), "-c", str(path), *options)
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
        try:
            _wait(process, admin, log)
            yield log
        finally:
            process.terminate()
            process.wait(timeout=20)


def write_listeners(path: Path, config: ProxyConfig, secrets: Iterable[Any]) -> None:
    """Put the listeners of a configuration where Envoy looks for them, at once."""
    found = static.bootstrap(config, secrets).static_resources.listeners
    response = discovery_pb2.DiscoveryResponse(
        version_info=config.revision, resources=[messages.packed(each) for each in found]
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(json_format.MessageToJson(response, preserving_proto_field_name=True))
    fresh.rename(path)


def listeners_from(path: Path) -> Any:
    """The dynamic resources of an Envoy whose listeners come from a file."""
    resources = bootstrap_pb2.Bootstrap.DynamicResources()
    resources.lds_config.path_config_source.path = str(path)
    return resources


def _wait(process: "subprocess.Popen[bytes]", admin: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-4000:]
        if ask(admin, "/ready").startswith(b"HTTP/1.1 200"):
            return
        time.sleep(0.05)
    raise AssertionError(f"not ready: {log.read_text()[-4000:]}")


def ask(admin: Path, path: str, method: str = "GET") -> bytes:
    """What the admin interface answers; empty where it does not."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        try:
            connection.connect(str(admin))
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            found = b""
            while data := connection.recv(65536):
                found += data
        except OSError:
            return b""
        return found


def pod_object(namespace: str, name: str, account: str, labels: Mapping[str, str], **spec: Any) -> dict[str, Any]:
    """A Pod as the API server has it."""
    metadata = {"namespace": namespace, "name": name, "labels": dict(labels)}
    return {"metadata": metadata, "spec": {"serviceAccountName": account, **spec}}
