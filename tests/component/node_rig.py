"""A node for `ringfence run node`: pods in a real API server, their processes in real cgroups and namespaces.

A sandbox is made as a runtime makes it: its first process is in the pod's cgroup while it is still in the node's
network, then gets one of its own, under a user who is not root.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ringfence.model import proxy
from ringfence.node import rules

from e2e.cluster import cgroups, kubeconfig, ports
from e2e.cluster.certificates import Authority
from e2e.cluster.controlplane import ControlPlane
from e2e.enforcer import api

NODE: Final = "node-of-tests"
NAMESPACE: Final = "ringfence-node"
USER: Final = f"system:serviceaccount:{NAMESPACE}:ringfence-node"
SECONDS: Final = 20.0
_PROGRAM: Final = "ip link set lo up; exec setpriv --reuid 65532 --regid 65532 --clear-groups sleep 600"
_POD: Final = f"while ! grep -q UID /proc/self/cgroup; do :; done; exec unshare -n sh -c '{_PROGRAM}'"


def eventually(what: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """The first true answer; fails when it takes too long."""
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.002)
    return found


class Sandbox:
    """The first process of a pod."""

    def __init__(self, group: str, uid: str, *, own_network: bool = True) -> None:
        self._groups = [each / group / "kubepods" / "besteffort" / f"pod{uid}" for each in _hierarchies()]
        command = ["sh", "-c", _POD.replace("UID", uid)] if own_network else ["sleep", "600"]
        self.process = subprocess.Popen(command)
        for each in self._groups:
            (each / "sandbox").mkdir(parents=True)
            (each / "sandbox" / "cgroup.procs").write_text(str(self.process.pid))

    @property
    def network(self) -> str:
        return f"/proc/{self.process.pid}/ns/net"

    def ready(self) -> bool:
        """Whether it has its own network and its own user."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return "Uid:\t65532" in status and "Name:\tsleep" in status

    def nft(self, *command: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net={self.network}", "nft", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or "No such file" in done.stderr, done.stderr
        return done.stdout

    def table(self) -> str:
        """The table, "" while there is none. nft reads in several steps, and may see a new one without its chains."""
        found = self.nft("--stateless", "list", "table", "inet", rules.TABLE)
        return found if "chain others" in found and "counter" in found else ""

    def end(self) -> None:
        """Kill it and remove its cgroups, which another sandbox of the pod may use by then."""
        if self.process.returncode is not None:
            return
        self.process.kill()
        self.process.wait()
        for each in self._groups:
            for directory in (each / "sandbox", each):
                if directory.exists():
                    eventually(lambda directory=directory: _removed(directory))


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError:
        return False
    return True


def _hierarchies() -> list[Path]:
    """Those that say whose a process is; cpuset would have to be set up first."""
    found = cgroups.hierarchies()
    return found if found == [cgroups.ROOT] else [cgroups.ROOT / name for name in ("memory", "pids")]


class Machine:
    """The API server, the cgroups of one kubelet, and the process under test."""

    def __init__(self, plane: ControlPlane, home: Path) -> None:
        self.plane, self._home = plane, home
        self._admin = api.server(plane.kubeconfig)
        self._group = f"rf-test-node-{os.getpid()}"
        cgroups.create(self._group)
        for each in _hierarchies():
            (each / self._group / "kubepods" / "besteffort").mkdir(parents=True)
        self._sandboxes: list[Sandbox] = []
        self._known: list[tuple[str, str]] = []
        self.process: subprocess.Popen[str] | None = None
        self.lines: list[dict[str, Any]] = []
        self._port = 0
        authority = Authority(plane.directory / "pki", "ca")
        self._kubeconfig = kubeconfig.write(
            home / "node.kubeconfig",
            server=plane.server,
            authority=authority.pair.certificate,
            user=authority.issue("node", user=USER, groups=["system:authenticated"]),
            name="node",
        )

    # --- the API ----------------------------------------------------------------------------------------------------

    def namespace(self, name: str, enroll: str = "enforce") -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": {"ringfence.dev/enroll": enroll}},
        }
        self._admin.send("POST", "/api/v1/namespaces", body)

    def enrol(self, name: str, how: str) -> None:
        patch = {"metadata": {"labels": {"ringfence.dev/enroll": how}}}
        self._admin.send("PATCH", f"/api/v1/namespaces/{name}", patch, "application/merge-patch+json")

    def pod(
        self, namespace: str, name: str, *, user: int | None = proxy.FIRST_UID + 7, node: str = NODE, **spec: Any
    ) -> str:
        """A pod with a proxy on the node; its UID."""
        context = {} if user is None else {"securityContext": {"runAsUser": user}}
        sidecar = {"name": proxy.CONTAINER, "image": "envoy", "restartPolicy": "Always", **context}
        body = {
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "nodeName": node,
                "initContainers": [sidecar],
                "containers": [{"name": "program", "image": "none"}],
                "automountServiceAccountToken": False,
                **spec,
            },
        }
        made = self._admin.send("POST", f"/api/v1/namespaces/{namespace}/pods", body)
        self._known.append((namespace, name))
        uid: str = made["metadata"]["uid"]
        return uid

    def delete(self, namespace: str, name: str) -> None:
        self._known.remove((namespace, name))
        self._admin.send("DELETE", f"/api/v1/namespaces/{namespace}/pods/{name}", {"gracePeriodSeconds": 0})

    # --- the node ---------------------------------------------------------------------------------------------------

    def sandbox(self, uid: str, *, own_network: bool = True) -> Sandbox:
        made = Sandbox(self._group, uid, own_network=own_network)
        self._sandboxes.append(made)
        return made

    def start(self) -> None:
        """As the DaemonSet would; ready when this returns."""
        self.launch()
        try:
            eventually(lambda: self.get("/readyz") == "ok\n", 60)
        except AssertionError as error:
            self.end()
            raise AssertionError(f"{error}: {self.lines}") from None

    def launch(self, capabilities: str = "-all,+sys_admin,+sys_ptrace,+net_admin") -> None:
        """Root with three capabilities and no way to more."""
        (self._port,) = ports.free()
        settings = self._home / "config.yaml"
        settings.write_text(f"logFormat: json\nlogLevel: info\nhttpHost: 127.0.0.1\nhttpPort: {self._port}\n")
        environment = {"PATH": os.environ["PATH"], "KUBECONFIG": str(self._kubeconfig), "NODE_NAME": NODE}
        self.process = subprocess.Popen(
            [
                *("setpriv", "--no-new-privs", "--bounding-set", capabilities, "--inh-caps=-all"),
                *(sys.executable, "-m", "ringfence", "run", "node", "--config", str(settings)),
            ],
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "POD_NAME": "ringfence-node-x", "POD_NAMESPACE": NAMESPACE},
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(20)

    def get(self, path: str, status: int = 200) -> str:
        """What it answers with this status, "" for anything else."""
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            link.request("GET", path)
            answer = link.getresponse()
            body = answer.read().decode()
        except OSError:
            return ""
        finally:
            link.close()
        return body if answer.status == status else ""

    def figure(self, name: str) -> float:
        """One line of its metrics."""
        found = [line.rsplit(" ", 1) for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {key: float(value) for key, value in found}.get(name, 0.0)

    def said(self, words: str) -> list[dict[str, Any]]:
        """Lines of its log that hold these words."""
        return [line for line in self.lines if words in line.get("message", "")]

    def descriptors(self) -> int:
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.lines.append({"message": line})

    def end(self) -> None:
        """Leave nothing."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        while self._sandboxes:
            self._sandboxes.pop().end()
        for known in list(self._known):
            self.delete(*known)

    def remove(self) -> None:
        """Remove the cgroups."""
        self.end()
        cgroups.remove(self._group)


def unknown() -> str:
    """A UID of no pod."""
    return str(uuid.uuid4())
