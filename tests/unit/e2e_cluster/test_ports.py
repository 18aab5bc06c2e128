"""Ports that a server can leave and come back to."""

import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import ports


def test_they_differ_and_are_never_given_to_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = ports.free(50)
    assert len(set(found)) == 50
    assert max(found) < first


def test_what_was_given_is_given_to_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def draw(below: int) -> int:
        drawn.append(below)
        return len(drawn) // 2

    monkeypatch.setattr("e2e.cluster.ports.secrets.randbelow", draw)
    monkeypatch.setattr("e2e.cluster.ports._FIRST", 17_000)
    script = "from e2e.cluster import ports; print(*ports.free(1), flush=True); input()"
    ask = f"import secrets; secrets.randbelow = lambda _: -999; {script}"
    with subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"17001\n"
        assert ports.free(2) == (17_000, 17_002)
        other.communicate(b"\n")
