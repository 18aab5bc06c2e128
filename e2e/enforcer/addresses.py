"""Pods' addresses at the moment that the network plugin gives them, a second or two before the API server shows them.

Without this a new pod would be closed (its address belongs to nobody yet) while its programs already start. The
container runtime's CNI library keeps the result of each ADD in a file, with the pod's UID, before the first container
starts.
"""

import ctypes
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_interface
from pathlib import Path

from e2e.enforcer.model import Address

LOG = logging.getLogger(__name__)
RESULTS = Path("/var/lib/cni/results")
_IN_CLOSE_WRITE, _IN_MOVED_TO, _IN_DELETE = 0x8, 0x80, 0x200
_LIBC = ctypes.CDLL(None, use_errno=True)


def read(directory: Path = RESULTS) -> dict[str, tuple[Address, ...]]:
    """Return the addresses of this node's pods by pod UID; the newest sandbox of a pod counts."""
    found: dict[str, tuple[Address, ...]] = {}
    for path in sorted(directory.glob("*-eth0"), key=_age):
        try:
            cached = json.loads(path.read_text())
            arguments = dict(cached.get("cniArgs") or [])
            found[arguments["K8S_POD_UID"]] = tuple(
                ip_interface(each["address"]).ip for each in cached["result"]["ips"]
            )
        except (OSError, KeyError, TypeError, ValueError):
            # Half written, just deleted, or not a pod's: the next event or the pod's status will tell.
            continue
    return found


class Watcher:
    """Reads the directory again whenever it changes."""

    def __init__(self, changed: Callable[[], None], directory: Path = RESULTS) -> None:
        """Call ``changed`` from another thread after each change."""
        self._changed, self._directory = changed, directory
        self._known: Mapping[str, tuple[Address, ...]] = {}

    def start(self) -> None:
        """Watch until the process ends. Raises OSError when the kernel refuses."""
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = _LIBC.inotify_init1(os.O_CLOEXEC)
        mask = _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_DELETE
        if descriptor < 0 or _LIBC.inotify_add_watch(descriptor, os.fsencode(self._directory), mask) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify on {self._directory}: {os.strerror(number)}")
        self._known = read(self._directory)
        threading.Thread(target=self._run, args=(descriptor,), name="addresses", daemon=True).start()

    def known(self) -> Mapping[str, tuple[Address, ...]]:
        """Addresses by pod UID, as of now."""
        return self._known

    def _run(self, descriptor: int) -> None:
        while os.read(descriptor, 65536):
            self._known = read(self._directory)
            self._changed()


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
