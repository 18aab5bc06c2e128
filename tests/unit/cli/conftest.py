"""Shared by the tests of the `ca` commands: a cluster that is none, and a clock that stands still."""

import pytest
from ringfence.cli import ca_cluster, live

from tests.unit.cli.ca_cluster_fake import FakeCluster
from tests.unit.pki.material import NOW


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """What the commands are connected to; nothing in it yet."""
    made = FakeCluster()

    async def connect(_: object) -> FakeCluster:
        return made

    monkeypatch.setattr(live, "connect", connect)
    monkeypatch.setattr(ca_cluster, "clock", lambda: float(NOW))
    monkeypatch.setenv("COLUMNS", "120")
    return made
