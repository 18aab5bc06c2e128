"""When `ringfence ca init` gives up a CA, and a whole life of one in words."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.ca_cluster_fake import SECRET, FakeCluster
from tests.unit.cli.ca_commands import OTHER, ringfence, stored
from tests.unit.pki.material import DAY, NOW, idle, root

GOLDEN = Path(__file__).parents[2] / "golden" / "cli_ca"


pytestmark = pytest.mark.usefixtures("cheap")


def test_a_lost_ca_is_given_up_on_purpose_only(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed(keyAlgorithm="ECDSA-P384", ttl="240h")
    fake.ca(idle())
    del fake.objects[SECRET]
    fake.identity("shop", "checkout", root(1).root.fingerprint)
    assert ringfence(capsys, "init")[0] == 2
    status, said = ringfence(capsys, "init", "--new-root")
    assert (status, fake.writes) == (1, [])
    assert "certificates (1) of the lost root stop being good: shop/checkout" in said
    assert ringfence(capsys, "init", "--new-root", "--yes")[0] == 0
    state = stored(fake)
    assert state is not None
    assert state.current.root.fingerprint != root(1).root.fingerprint
    assert state.current.root.not_after == NOW + 10 * DAY
    assert len(state.roots) == 1
    # The Secret first: a controller never finds neither.
    assert fake.writes == [("POST", "secrets"), ("PUT", "ringfence-trust-bundle")]


def test_a_ca_that_works_is_not_given_up(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed()
    fake.ca(idle())
    status, said = ringfence(capsys, "init", "--new-root", "--yes")
    assert (status, fake.writes) == (1, [])
    assert "ringfence ca rotate" in said


@pytest.mark.parametrize("kind", ["denied secret", "denied settings", "no settings"])
def test_a_new_root_needs_to_know_what_it_replaces(
    kind: str, fake: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.ca(idle(), marker=OTHER)
    if kind != "no settings":
        fake.installed()
        fake.denied = (SECRET,) if kind == "denied secret" else (SECRET.partition("/secrets")[0] + "/configmaps/ring",)
    status, _ = ringfence(capsys, "init", "--new-root", "--yes")
    assert (status, fake.writes) == (2, [])


def test_a_life_in_words(
    fake: FakeCluster,
    phrase: Path,
    golden: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(phrase.parent)
    told: list[str] = []

    def says(line: str) -> None:
        status, said = ringfence(capsys, *line.split())
        for digit in (1, 2):
            fingerprint = root(digit).root.fingerprint
            said = said.replace(fingerprint, f"{digit}" * 64).replace(fingerprint[:16], f"{digit}" * 16)
        told.append(f"$ ringfence ca {line}\n{said}(exit status {status})\n\n")

    fake.installed()
    fake.ca(idle())
    fake.identity("shop", "checkout", root(1).root.fingerprint, pods=3)
    says("backup ca.backup --passphrase-file passphrase")
    says("backup ca.backup --passphrase-file passphrase")
    says("rotate --yes")
    says("restore ca.backup --passphrase-file passphrase")
    fake.ca(OTHER)
    says("restore ca.backup --passphrase-file passphrase")
    says("restore ca.backup --passphrase-file passphrase --replace")
    says("restore ca.backup --passphrase-file passphrase --replace --yes")
    says("init --new-root --yes")
    del fake.objects[SECRET]
    says("rotate --yes")
    says("init --new-root")
    fake.installed("other.example")
    says("restore ca.backup --passphrase-file passphrase")
    golden.check(GOLDEN / "life.out.txt", "".join(told))
