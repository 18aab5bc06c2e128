"""A node's /proc and cgroups made of files: a network namespace is a file, since only its inode is compared."""

import os
from dataclasses import dataclass
from pathlib import Path

from ringfence.node.processes import Finder


@dataclass
class Machine:
    """The trees below ``home``; ``root`` is where the kubelet keeps its pods."""

    home: Path

    @property
    def proc(self) -> Path:
        return self.home / "proc"

    @property
    def mount(self) -> Path:
        return self.home / "cgroup"

    @property
    def root(self) -> Path:
        return self.mount / "kubepods"

    def build(self) -> Finder:
        """A node whose first process has the network `node`."""
        self.mount.mkdir()
        (self.mount / "cgroup.controllers").touch()
        self.root.mkdir()
        self.proc.mkdir()
        (self.proc / "uptime").write_text("1000.50 900.00\n")
        self.process(1, "node", "/")
        return Finder(self.proc, self.mount)

    def network(self, name: str) -> Path:
        """The file that stands for a network namespace."""
        file = self.home / f"network-{name}"
        file.touch()
        return file

    def process(self, pid: int, network: str, group: str, *, started: float = 990.0, name: str = "pause") -> None:
        """A process in a network and in a cgroup, and in that cgroup's list."""
        home = self.proc / str(pid)
        (home / "ns").mkdir(parents=True)
        (home / "ns" / "net").symlink_to(self.network(network))
        (home / "cgroup").write_text(f"0::{group}\n")
        ticks = int(started * os.sysconf("SC_CLK_TCK"))
        (home / "stat").write_text(f"{pid} ({name}) S {' '.join(['0'] * 18)} {ticks} 0 0\n")
        if group != "/":
            directory = self.mount / group.lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            with (directory / "cgroup.procs").open("a") as listed:
                listed.write(f"{pid}\n")

    def moved(self, pid: int, group: str) -> None:
        """Another process has that id now, or the same one is elsewhere; the old list does not know yet."""
        (self.proc / str(pid) / "cgroup").write_text(f"0::{group}\n")
