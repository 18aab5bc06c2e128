"""Envoy as it runs in a pod, and what it costs there: processor time and memory."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ringfence.model.proxy_settings import ProxySettings

from bench.pods import PROXY_USER, Pod

_WITHIN: Final = 60.0
_KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process, in bytes: ``anonymous`` is its own, ``proportional`` counts shared pages in shares (PSS)."""

    anonymous: int
    proportional: int


@dataclass(frozen=True, slots=True)
class Envoy:
    """A running one."""

    process: subprocess.Popen[Any]
    admin: Path

    @classmethod
    def start(cls, binary: Path, pod: Pod, place: Path, config: Mapping[str, Any], admin: Path) -> "Envoy":
        """Start it in a pod with the arguments of a sidecar; its log is ``envoy.log`` in ``place``."""
        place.mkdir(parents=True, exist_ok=True)
        os.chown(place, PROXY_USER, PROXY_USER)
        file = place / "envoy.json"
        file.write_text(json.dumps(config))
        usual = ProxySettings()
        options = ["--concurrency", str(usual.concurrency), "--disable-hot-restart", "--log-level", usual.log_level]
        options += ["--drain-time-s", str(usual.drain_seconds), "--drain-strategy", "immediate"]
        with (place / "envoy.log").open("wb") as log:
            child = pod.start([str(binary), "-c", str(file), *options], user=PROXY_USER, output=log)
        return cls(child, admin)

    @property
    def log(self) -> Path:
        return self.admin.parent / "envoy.log"

    def ready(self) -> None:
        """Return once it serves. Raises RuntimeError with the end of its log."""
        deadline = time.monotonic() + _WITHIN
        while time.monotonic() < deadline and self.process.poll() is None:
            if "200 OK" in self._ask("/ready"):
                return
            time.sleep(0.05)
        raise RuntimeError(f"Envoy is not ready: {self.log.read_text(errors='replace')[-3000:]}")

    def cpu(self) -> float:
        """Seconds on a processor so far, all threads; the kernel counts them by the nanosecond."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def memory(self) -> Memory:
        """What it holds now."""
        found = {}
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            found[name] = int(rest.split()[0]) * _KIB
        return Memory(found["Anonymous"], found["Pss"])

    def counter(self, name: str) -> int:
        """The value of a statistic; 0 where it has none yet."""
        said = self._ask(f"/stats?filter=^{name}$").partition("\r\n\r\n")[2]
        return int(said.rpartition(":")[2]) if ":" in said else 0

    def _ask(self, path: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(str(self.admin))
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                found = b""
                while data := connection.recv(65536):
                    found += data
            except OSError:
                return ""
            return found.decode(errors="replace")


def others_cpu() -> float:
    """Processor seconds so far of all that is neither this process nor started by it; the kernel's own included."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, first[:7])
    parents, spent = {}, {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(directory.name)] = int(fields[1])
            # Of its own, and of the children that have ended.
            spent[int(directory.name)] = sum(map(int, fields[11:15]))
    mine = sum(ticks for pid, ticks in spent.items() if _mine(pid, parents))
    return (user + nice + system + irq + softirq - mine) / os.sysconf("SC_CLK_TCK")


def _mine(pid: int, parents: Mapping[int, int]) -> bool:
    while pid > 1:
        if pid == os.getpid():
            return True
        pid = parents.get(pid, 0)
    return False
