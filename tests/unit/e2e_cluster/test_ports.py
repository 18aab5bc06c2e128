"""Ports that a server can leave and come back to."""

import socket
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
    ask = "from e2e.cluster import ports; print(*ports.free(1), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        given = int(other.stdout.readline())
        draws = iter([given, given + 1, *range(given - 50, given)])
        monkeypatch.setattr("e2e.cluster.ports._FIRST", 0)
        monkeypatch.setattr("e2e.cluster.ports.secrets.randbelow", lambda _: next(draws))
        # Nobody listens there.
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", given))
        assert given not in ports.free(1)
        other.communicate(b"\n")
