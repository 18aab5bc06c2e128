"""Whose a process is, by its cgroup: the one thing that ties it to a pod and that the pod cannot choose.

The kubelet makes a cgroup for each pod, ``pod<UID>`` (driver cgroupfs) or ``…-pod<UID with _ for ->.slice`` (driver
systemd), below its own ``kubepods``, in versions 1 and 2 alike. Only the first such component of a path counts: below
it a container that may make cgroups can call one by another pod's name.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_UID: Final = "[0-9a-f]{8}(?:{0}[0-9a-f]{4}){3}{0}[0-9a-f]{12}"
_CGROUPFS: Final = re.compile("pod(" + _UID.replace("{0}", "-") + ")")
_SYSTEMD: Final = re.compile("[A-Za-z0-9_:.-]*-pod(" + _UID.replace("{0}", "_") + r")\.slice")
_KUBEPODS: Final = re.compile(r"(?:.*-)?kubepods(?:\.slice)?")
#: How deep below the root of a hierarchy a kubelet's ``kubepods`` is looked for.
_DEPTH: Final = 4
#: Version 1 has a hierarchy for each controller, and the kubelet makes its cgroups in all of these.
_VERSION_1: Final = ("memory", "pids", "cpu", "cpu,cpuacct", "systemd")


def pod_of(path: str) -> str | None:
    """UID of the pod that a cgroup belongs to; None when it is no pod's. Takes a path, not a line of /proc."""
    for component in path.split("/"):
        found = _CGROUPFS.fullmatch(component) or _SYSTEMD.fullmatch(component)
        if found:
            return found[1].replace("_", "-")
    return None


def pod_of_process(text: str) -> str | None:
    """UID of the pod of a process, from its /proc/PID/cgroup; None when it is no pod's or its lines disagree."""
    found = {pod_of(parts[2]) for line in text.splitlines() if len(parts := line.split(":", 2)) == 3}
    # In version 1 hierarchies that the kubelet does not use say nothing.
    found.discard(None)
    return found.pop() if len(found) == 1 else None


def is_kubepods(name: str) -> bool:
    """Whether a cgroup of this name is where a kubelet keeps its pods."""
    return _KUBEPODS.fullmatch(name) is not None


def roots(mount: Path) -> tuple[Path, ...]:
    """Where the kubelets of this node keep their pods' cgroups, below the mount point (/sys/fs/cgroup); maybe none."""
    if (mount / "cgroup.controllers").exists():
        return tuple(_kubepods(mount, _DEPTH))
    for controller in _VERSION_1:
        if found := tuple(_kubepods(mount / controller, _DEPTH)):
            return found
    return ()


def _kubepods(directory: Path, depth: int) -> Iterator[Path]:
    for each in subdirectories(directory):
        if is_kubepods(each.name):
            yield each
        elif depth > 1 and pod_of(each.name) is None:
            yield from _kubepods(each, depth - 1)


def candidates(root: Path, uid: str) -> Iterable[Path]:
    """Where below a ``kubepods`` the cgroup of a pod may be, for each driver and class of quality of service."""
    if root.name.endswith(".slice"):
        stem, name = root.name.removesuffix(".slice"), uid.replace("-", "_")
        yield root / f"{stem}-pod{name}.slice"
        for quality in ("burstable", "besteffort"):
            yield root / f"{stem}-{quality}.slice" / f"{stem}-{quality}-pod{name}.slice"
    else:
        yield root / f"pod{uid}"
        for quality in ("burstable", "besteffort"):
            yield root / quality / f"pod{uid}"


def processes(group: Path) -> Iterator[int]:
    """Process ids in a cgroup and below it, as this process's pid namespace numbers them."""
    try:
        text = (group / "cgroup.procs").read_text()
    except OSError:
        text = ""
    yield from (int(line) for line in text.split() if line != "0")
    for each in subdirectories(group):
        yield from processes(each)


def subdirectories(directory: Path) -> tuple[Path, ...]:
    """The directories in one, sorted; none where it has gone."""
    try:
        with os.scandir(directory) as entries:
            return tuple(sorted(Path(each.path) for each in entries if each.is_dir(follow_symlinks=False)))
    except OSError:
        return ()
