"""Ports that a server can leave and come back to."""

from pathlib import Path

from e2e.cluster import ports


def test_they_differ_and_are_never_given_to_outgoing_connections() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found = ports.free(50)
    assert len(set(found)) == 50
    assert max(found) < first
