"""Shared by the tests of the `ca` commands: a cluster that is none, and a clock that stands still."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import ca_cluster, live
from ringfence.pki import backup

from tests.unit.cli.ca_cluster_fake import FakeCluster
from tests.unit.cli.ca_commands import PASSPHRASE
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


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key derivation that takes no time; the real one is tested in pki."""
    real = backup.seal

    def seal(data: Mapping[str, str], passphrase: str, **rest: Any) -> bytes:
        return real(data, passphrase, **{**rest, "cost": 2**4})

    monkeypatch.setattr(backup, "seal", seal)


@pytest.fixture
def phrase(tmp_path: Path) -> Path:
    """A file with the passphrase."""
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    return path
