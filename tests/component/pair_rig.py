"""Two pods with the redirect of `node` and a real Envoy each, one hop apart."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from ringfence.model import proxy
from ringfence.model.mesh import Mesh
from ringfence.translate import envoy as translator
from ringfence.translate.envoy import static

from e2e import envoy
from e2e.cluster import debian
from e2e.traffic.memory import Memory
from tests.component import proxy_net
from tests.component.node_rig import eventually
from tests.component.proxy_net import Identities
from tests.component.redirect_rig import PEER4, PEER6, POD4, POD6, PROGRAM, PROXY, Place, Wire
from tests.unit.translate.envoy import making

#: Addresses of a Service, to which both pods have a way.
SERVICE4, SERVICE6 = "10.96.0.1", "fd00:96::1"


@dataclass
class Pair:
    """The two pods; ``proxies`` are the processes of those that run, by account."""

    wire: Wire
    home: Path
    identities: Identities
    proxies: dict[str, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def proxied(
        self, place: Place, known: Mesh, account: str, ports: tuple[int, ...] = (), *, shown: str = ""
    ) -> Iterator[None]:
        """Envoy with the configuration of an identity of ``shop``, under the proxy's user, ready.

        ``shown`` is the identity whose certificate it shows, its own if left out.
        """
        containers = [{"name": "c", "ports": [{"containerPort": each} for each in ports]}] if ports else []
        pod = making.pod(account, containers=containers)
        four, six = (POD4, POD6) if place is self.wire.pod else (PEER4, PEER6)
        pod["status"] = {"podIPs": [{"ip": four}, {"ip": six}]}
        config = translator.configure(translator.subject(pod, known), known)
        admin = self.home / f"{account}.sock"
        admin.unlink(missing_ok=True)
        bootstrap = static.bootstrap(config, self.identities.secrets("shop", shown or account), admin=str(admin))
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

    def memory(self, account: str) -> Memory:
        """What a proxy has; what it had at most is from the last question on."""
        process = Path(f"/proc/{self.proxies[account]}")
        found = Memory.read((process / "status").read_text())
        (process / "clear_refs").write_text("5")
        return found


@contextlib.contextmanager
def pair() -> Iterator[Pair]:
    """The pods with their redirects and ways to the Service; nobody has a program or a proxy yet."""
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
        yield Pair(wire, home, Identities(home, "cluster.local"))


@contextlib.contextmanager
def serving(place: Place, port: int, *command: str) -> Iterator[None]:
    """A program of the pod's, under a user that is not the proxy's, once it listens on the port."""
    user = ("setpriv", f"--reuid={PROGRAM}", f"--regid={PROGRAM}", "--clear-groups")
    entered = ["nsenter", f"--net={place.namespace.path}", *user, sys.executable, *command]
    with subprocess.Popen(entered) as served:
        try:
            eventually(lambda: f":{port}" in place.run("ss", "-Hltn"), 20)
            yield
        finally:
            served.kill()
