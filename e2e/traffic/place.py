"""A closed namespace with a server of all kinds of traffic, a friend that may call it and a stranger that may not."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.cluster import backend
from e2e.cluster.errors import ClusterError
from e2e.demo import mesh
from e2e.demo.client import Client, Object, until
from e2e.traffic import pods
from e2e.traffic.__main__ import DATAGRAMS, FRAMES, LINES, OPEN_LINES, STREAMS, WEB
from e2e.traffic.memory import Memory

REFUSED = frozenset(
    {"403", "503", "denied", "closed", "silent", "PERMISSION_DENIED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
)
"""What a call may come to that nobody allows: which of them depends on what speaks, and on who refuses."""
ALL_PORTS: tuple[object, ...] = (
    WEB,
    FRAMES,
    STREAMS,
    LINES,
    {"port": DATAGRAMS, "protocol": "UDP"},
    {"port": pods.NO_SERVER, "protocol": "UDP"},
)
# The 5 is proc(5)'s word for forgetting the most that there was.
_ENVOYS = """
for p in /proc/[0-9]*; do
  if [ "$(cat $p/comm 2>/dev/null)" = envoy ] && grep -q "$0" $p/cgroup; then cat $p/status; echo 5 > $p/clear_refs; fi
done
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The namespace, in a cluster."""

    cluster: backend.Cluster
    admin: Client
    space: str
    image: str

    def ask(self, source: str, *arguments: object, timeout: float = 120) -> dict[str, Any]:
        """What a call of a workload's pod comes to (see __main__), from ``deployment/NAME`` or ``pod/NAME``.

        Raises AssertionError when it could not be made.
        """
        where = source if "/" in source else f"deployment/{source}"
        command = [*pods.RUN, "ask", *map(str, arguments)]
        done = self.admin.attempt(
            "exec", f"--namespace={self.space}", where, f"--container={pods.CONTAINER}", "--", *command, timeout=timeout
        )
        assert done.ok, f"{source} could not ask {arguments}: {done.message}"
        found: dict[str, Any] = json.loads(done.out.splitlines()[-1])
        return found

    def wait(self, *names: str, kind: str = "deployment", within: float = 120) -> None:
        """Returns when these are rolled out. Raises ClusterError."""
        for name in names:
            command = ("rollout", "status", f"--namespace={self.space}", f"{kind}/{name}", f"--timeout={within:.0f}s")
            self.admin.run(*command, timeout=within + 10)

    def pods(self, name: str) -> list[Object]:
        """The pods of a workload that are not on their way out."""
        found: list[Object] = self.admin.get("pods", f"--namespace={self.space}", f"--selector=app={name}")["items"]
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def allow(self, target: str, source: str, *ports: object) -> Object:
        """A policy that lets one identity call another, on all ports by default."""
        peer = {"identity": {"namespace": self.space, "name": source}}
        rule = {"name": source, "from": [peer], "ports": list(ports or ALL_PORTS)}
        return mesh.policy(self.space, f"{target}-{source}", target, [rule])

    def memory(self, pod: Object) -> Memory:
        """What a pod's proxy has; what it had at most is from the last question on. Raises ClusterError."""
        nodes = sorted(each["metadata"]["name"] for each in self.admin.get("nodes")["items"])
        entering = self.cluster.entering(nodes.index(pod["spec"]["nodeName"]) + 1)
        command = [*entering, "sh", "-c", _ENVOYS, pod["metadata"]["uid"]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        count = sum(line.startswith("VmHWM:") for line in done.stdout.splitlines())
        if count != 1:
            raise ClusterError(f"{pod['metadata']['name']} has {count} proxies: {done.stderr.strip()}")
        return Memory.read(done.stdout)


@contextmanager
def opened(cluster: backend.Cluster, admin: Client, image: str, space: str = "traffic") -> Iterator[Place]:
    """The place, with all programs running and the first call through; gone at the end."""
    admin.run("delete", "namespace", space, "--ignore-not-found", timeout=180)
    labels = {"ringfence.dev/enroll": "enforce"}
    made = Place(cluster, admin, space, image)
    anybody = {"name": "anybody", "from": [{"anonymous": True}], "ports": [OPEN_LINES]}
    admin.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space, "labels": labels}},
            pods.program(space),
            *(each for name in ("server", "friend", "stranger", "worker") for each in pods.identity(space, name)),
            made.allow("server", "friend"),
            made.allow("server", "worker", WEB),
            made.allow("server", "server"),
            mesh.policy(space, "server-anybody", "server", [anybody]),
            pods.service(space, "server"),
            pods.workload(space, "server", image),
            pods.workload(space, "friend", image, "wait"),
            pods.workload(space, "stranger", image, "wait"),
        ]
    )
    try:
        made.wait("server", "friend", "stranger")
        until(lambda: made.ask("friend", "web", "server", 80)["outcome"] == "200", "friend reaches server", 30, every=1)
        yield made
    finally:
        admin.run("delete", "namespace", space, "--ignore-not-found", "--wait=false")
