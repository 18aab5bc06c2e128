"""The networks of two pods, a caller's and a server's, on one cable, with the redirect of `ringfence node` in them.

Network namespaces are held by descriptors and not by names: whatever happens to the measurement, none is left.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from ringfence.model import proxy
from ringfence.node import rules

from e2e.enforcer.netns import Namespace

CALLER, SERVER = "10.244.0.2", "10.244.0.1"
#: The user of the proxies; the redirect tells what they send by it.
PROXY_USER: Final = proxy.FIRST_UID
_USER: Final = 65532


@dataclass(slots=True)
class Pod:
    """One pod: a network with an address, and what runs in it on one processor."""

    address: str
    cpu: int
    network: Namespace = field(default_factory=Namespace.new)
    _children: list[subprocess.Popen[Any]] = field(default_factory=list)

    def run(self, *command: str, text: str | None = None) -> None:
        """Run a program of the system inside. Raises RuntimeError with what it said."""
        with self.network.entered():
            done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

    def redirect(self) -> None:
        """Lead everything through the proxy."""
        self.run("nft", "-f", "-", text=rules.ruleset(PROXY_USER, strict=True))

    def start(self, command: Sequence[str], *, user: int = _USER, output: IO[bytes] | int) -> subprocess.Popen[Any]:
        """Start a program inside as a user; it ends with the pod."""
        pinned = ["taskset", "-c", str(self.cpu), *command]
        with self.network.entered():
            child = subprocess.Popen(pinned, stdout=output, stderr=output, user=user, group=user, extra_groups=[])
        self._children.append(child)
        return child

    def ask(self, command: Sequence[str], within: float) -> str:
        """Run a program of the pod and return what it wrote. Raises RuntimeError where it failed."""
        pinned = ["taskset", "-c", str(self.cpu), *command]
        with self.network.entered():
            done = subprocess.run(
                pinned, capture_output=True, text=True, check=False, timeout=within, user=_USER, extra_groups=[]
            )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def close(self) -> None:
        """End what runs in it, and let go of its network."""
        for child in self._children:
            child.kill()
            child.wait()
        self.network.close()


@dataclass(slots=True)
class Pair:
    """A caller and a server, each on a processor of its own where there are two, as if on two nodes."""

    caller: Pod
    server: Pod

    @classmethod
    def make(cls) -> Self:
        """Two pods that reach each other, without a proxy yet. Needs root."""
        cpus = sorted(os.sched_getaffinity(0))
        made = cls(Pod(CALLER, cpus[0]), Pod(SERVER, cpus[-1]))
        try:
            peer = ["type", "veth", "peer", "name", "eth0", "netns", made.server.network.path]
            made.caller.run("ip", "link", "add", "eth0", *peer)
            for pod in (made.caller, made.server):
                pod.run("ip", "link", "set", "lo", "up")
                pod.run("ip", "link", "set", "eth0", "up")
                pod.run("ip", "addr", "add", f"{pod.address}/24", "dev", "eth0")
                # Addresses of Services must have a way out of the pod to be led to its proxy.
                pod.run("ip", "route", "add", "default", "dev", "eth0")
        except BaseException:
            made.close()
            raise
        return made

    @property
    def pods(self) -> tuple[Pod, Pod]:
        return self.caller, self.server

    def close(self) -> None:
        """Take both away."""
        for pod in self.pods:
            pod.close()


def readable(program: Path, directory: Path) -> Path:
    """A program where every user can run it: caches lie in homes that others may not enter."""
    made = directory / program.name
    if not made.exists():
        try:
            os.link(program, made)
        except OSError:
            made.write_bytes(program.read_bytes())
            made.chmod(0o755)
    return made
