"""From a pod's UID to its network namespace, by what the kernel says of processes.

A process id can be another process's a moment later, so its cgroup is read again once its namespace is open. While a
runtime makes a container, its first process is in the pod's cgroup and still in the node's network: that one is told
by its inode and never returned.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ringfence.node import cgroups

PROC: Final = Path("/proc")
CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Network:
    """An open network namespace: ``identity`` (device, inode) is its alone while it is open; ``age`` in seconds is
    that of the oldest of the pod's processes in it. Close it by leaving its ``with``."""

    descriptor: int
    identity: tuple[int, int]
    age: float

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)


class Finder:
    """Finds the network namespaces of pods. ``proc`` is the node's /proc and ``mount`` its cgroups.

    This process must be on the node's own network: that is how it is known, since not everybody may look at the node's
    first process. Where that can be looked at, its network is left alone as well. Raises OSError without /proc.
    """

    def __init__(self, proc: Path = PROC, mount: Path = CGROUPS) -> None:
        self._proc = proc
        self._mount = mount
        self._roots: tuple[Path, ...] = ()
        self._nodes = {_identity(PROC / "self" / "ns" / "net")}
        with contextlib.suppress(OSError):
            self._nodes.add(_identity(proc / "1" / "ns" / "net"))

    def roots(self, *, fresh: bool = False) -> tuple[Path, ...]:
        """Where the cgroups of pods are; looked for until there are any, and again when ``fresh``."""
        if fresh or not self._roots:
            self._roots = cgroups.roots(self._mount)
        return self._roots

    def find(self, uid: str) -> Network | None:
        """The network namespace of a pod, None while it has none: that of its oldest process, the sandbox's."""
        for pid in self._oldest_first(uid):
            if network := self._open(pid, uid):
                return network
        return None

    def _pids(self, uid: str) -> Iterator[int]:
        for root in self.roots():
            for group in cgroups.candidates(root, uid):
                yield from cgroups.processes(group)

    def scan(self, uid: str) -> Iterator[int]:
        """The processes of a pod among all of the node: slow, for nodes whose cgroups are elsewhere than thought."""
        with os.scandir(self._proc) as entries:
            pids = [int(each.name) for each in entries if each.name.isdigit()]
        return (pid for pid in pids if self._pod(pid) == uid)

    def _oldest_first(self, uid: str) -> list[int]:
        pids = list(self._pids(uid)) if self.roots() else list(self.scan(uid))
        started = [(started, pid) for pid in pids if (started := self._started(pid)) is not None]
        return [pid for _, pid in sorted(started)]

    def _open(self, pid: int, uid: str) -> Network | None:
        try:
            descriptor = os.open(self._proc / str(pid) / "ns" / "net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        facts = os.fstat(descriptor)
        identity = (facts.st_dev, facts.st_ino)
        started = self._started(pid)
        if started is None or identity in self._nodes or self._pod(pid) != uid:
            os.close(descriptor)
            return None
        return Network(descriptor, identity, max(0.0, self._now() - started))

    def _pod(self, pid: int) -> str | None:
        try:
            return cgroups.pod_of_process((self._proc / str(pid) / "cgroup").read_text())
        except OSError:
            return None

    def _started(self, pid: int) -> float | None:
        """When a process was started, in seconds since the machine was; None when there is no such process."""
        try:
            stat = (self._proc / str(pid) / "stat").read_text()
        except (OSError, UnicodeDecodeError):
            return None
        # The name may hold spaces and brackets: what follows its last bracket is fields 3 and up (proc(5)).
        return int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")

    def _now(self) -> float:
        return float((self._proc / "uptime").read_text().split()[0])


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino
