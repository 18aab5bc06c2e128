"""What goes over the wire of a pod: the bytes, as they pass its network interface, told apart by what they begin with.

Runs in the pod's network namespace from its node, with the node's own Python: on a kind node there is none, and nothing
is captured there.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Self

from e2e.cluster import backend
from e2e.cluster.local import LocalCluster
from e2e.demo.client import Client

#: The first process whose control group names the pod; `_` stands for `-` with the systemd driver.
_ENTER = """
for process in /proc/[0-9]*; do
  if grep -qE "$1" "$process/cgroup" 2>/dev/null; then
    exec nsenter --net="$process/ns/net" "$2" -c "$3" "$4" "$5"
  fi
done
echo "no process of the pod" >&2
exit 1
"""

#: Counts segments to and from one TCP port until its input ends, for some seconds at most. TLS records begin with their
#: type and 3.x (RFC 8446 §5.1); a ServerHello says 1.3 in its extension supported_versions (0x002b), and 0x0304 is that
#: version.
_SNIFF = r"""
import collections, json, select, socket, struct, sys, time
port, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
seen = collections.Counter()
print("ready", flush=True)
while time.monotonic() < end:
    ready, _, _ = select.select([wire, sys.stdin], [], [], 0.2)
    if sys.stdin in ready:
        break
    if not ready:
        continue
    frame, where = wire.recvfrom(65535)
    if where[0] == "lo" or frame[12:14] != b"\x08\x00" or frame[23] != 6:
        continue
    segment = frame[14 + (frame[14] & 15) * 4 :14 + struct.unpack(">H", frame[16:18])[0]]
    if port not in struct.unpack(">HH", segment[:4]):
        continue
    said = segment[(segment[12] >> 4) * 4 :]
    if not said:
        continue
    if said[0] == 22 and said[1] == 3 and said[5] == 2:
        seen["TLS 1.3" if b"\x00\x2b\x00\x02\x03\x04" in said else "older TLS"] += 1
    elif said[:4] in (b"GET ", b"HTTP", b"POST"):
        seen["plain HTTP"] += 1
    else:
        seen["records"] += 1
print(json.dumps(seen))
"""


@dataclass(frozen=True, slots=True)
class Wire:
    """What was seen: handshakes by version, plain requests, everything else."""

    tls13: int
    older: int
    plain: int
    others: int


class Capture:
    """A capture of one pod's port that has begun; ``result`` ends it. Use it as a context manager."""

    def __init__(
        self, cluster: backend.Cluster, admin: Client, space: str, pod: str, port: int, seconds: float
    ) -> None:
        found = admin.get("pod", pod, f"--namespace={space}")
        nodes = sorted(each["metadata"]["name"] for each in admin.get("nodes")["items"])
        entering = cluster.entering(nodes.index(found["spec"]["nodeName"]) + 1)
        pattern = "pod" + found["metadata"]["uid"].replace("-", "[-_]")
        command = ["sh", "-u", "-c", _ENTER, "sh", pattern, sys.executable, _SNIFF, str(port), str(seconds)]
        self._child = subprocess.Popen(
            [*entering, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        self.began = self._child.stdout.readline().strip() == "ready"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()

    def result(self) -> Wire:
        """What was seen. Raises ValueError when nothing could be captured."""
        out, error = self._child.communicate(timeout=60)
        if self._child.returncode != 0:
            raise ValueError(f"the capture failed: {error.strip()}")
        seen = json.loads(out)
        return Wire(seen.get("TLS 1.3", 0), seen.get("older TLS", 0), seen.get("plain HTTP", 0), seen.get("records", 0))


def possible(cluster: backend.Cluster) -> bool:
    """Whether this kind of cluster has what it takes."""
    return isinstance(cluster, LocalCluster)
