"""A cgroup for each node, in every hierarchy of the machine, so that no kubelet tidies up another's pods."""

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def create(name: str) -> None:
    """Makes the cgroup everywhere; hands down controllers (version 2) or CPUs and memory nodes (version 1)."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):
            if hierarchy != ROOT and (hierarchy / file).exists():
                (group / file).write_text((hierarchy / file).read_text())
        if hierarchy == ROOT:
            _delegate(hierarchy)
            _delegate(group)


def remove(name: str, within: float = 10.0) -> None:
    """Removes the cgroup and all below it. The processes in it must be gone or going."""
    deadline = time.monotonic() + within
    for hierarchy in hierarchies():
        group = hierarchy / name
        while group.exists():
            for directory, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(directory).rmdir()
            if group.exists():
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)


def hierarchies() -> list[Path]:
    """The mount points of the machine's cgroup hierarchies: one for version 2, many for version 1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return sorted(each for each in ROOT.iterdir() if (each / "cgroup.procs").exists() and not each.is_symlink())


def _delegate(group: Path) -> None:
    controllers = (group / "cgroup.controllers").read_text().split()
    with suppress(OSError):
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))
