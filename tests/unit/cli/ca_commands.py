"""What the tests of the `ca` commands that write share: states of a CA, somebody who types, a backup, a run."""

import io
from pathlib import Path

import pytest
from ringfence.cli import main
from ringfence.model.ca import CaState, RotationReason
from ringfence.pki import backup, slots, store

from tests.unit.cli.ca_cluster_fake import MARKER, SECRET, FakeCluster
from tests.unit.pki.material import DAY, NOW, TRUST_DOMAIN, idle, root

PASSPHRASE = "correct horse battery staple"
OTHER = slots.first(TRUST_DOMAIN, root(2), NOW)
PREPARED = slots.prepare(idle(), root(2), NOW - 60, RotationReason.AGE)
ACTIVATED = slots.activate(PREPARED, NOW - 30, NOW + DAY)
FORCED = slots.prepare(idle(), root(2), NOW - 60, RotationReason.COMPROMISED)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def sealed(path: Path, state: CaState, passphrase: str = PASSPHRASE) -> Path:
    """A backup of a state."""
    data = store.encode(state)
    path.write_bytes(backup.seal(data, passphrase, salt=b"s" * 16, nonce=b"n" * 12, now=NOW))
    return path


def ringfence(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Exit status, and everything said; never a key."""
    status = main.main(["ca", *map(str, arguments)], {})
    said = capsys.readouterr()
    assert "PRIVATE" not in said.out + said.err
    assert PASSPHRASE not in said.out + said.err
    assert "defect" not in said.err
    return status, said.out + said.err


def stored(fake: FakeCluster) -> CaState | None:
    """The CA as a controller would load it."""
    return store.load(fake.objects.get(SECRET), fake.objects.get(MARKER), TRUST_DOMAIN, NOW)
