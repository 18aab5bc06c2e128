"""What `ringfence ca restore` brings back, and what it never replaces."""

import json
import re
from pathlib import Path

import pytest
from ringfence.cli import ca_cluster
from ringfence.model.ca import CaState
from ringfence.pki import backup, slots, store
from ringfence.pki.root import make_root

from tests.unit.cli.ca_cluster_fake import MARKER, SECRET, SYSTEM, FakeCluster
from tests.unit.cli.ca_commands import OTHER, PASSPHRASE, PREPARED, ringfence, sealed, stored
from tests.unit.pki.material import DAY, NOW, idle, root

pytestmark = pytest.mark.usefixtures("cheap")


@pytest.fixture
def restoring(tmp_path: Path, phrase: Path) -> tuple[object, ...]:
    """The arguments for a backup of ``idle()``."""
    return ("restore", sealed(tmp_path / "ca.backup", idle()), "--passphrase-file", phrase)


def test_a_lost_secret_comes_back_byte_for_byte(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    before = fake.objects.pop(SECRET)["data"]
    assert ringfence(capsys, *restoring)[0] == 0
    assert fake.objects[SECRET]["data"] == before
    assert fake.objects[SECRET]["type"] == store.SECRET_TYPE
    # The marker was right already.
    assert fake.writes == [("POST", "secrets")]
    assert stored(fake) == idle()


def test_into_a_new_cluster_the_secret_comes_first(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    assert ringfence(capsys, *restoring)[0] == 0
    assert fake.writes == [("POST", "secrets"), ("POST", "configmaps")]
    assert stored(fake) == idle()


def test_without_an_installation_the_namespace_must_be_there(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = ringfence(capsys, *restoring)
    assert status == 2
    assert f"there is no namespace {SYSTEM}" in said
    fake.put(f"/api/v1/namespaces/{SYSTEM}", {})
    assert ringfence(capsys, *restoring)[0] == 0


@pytest.mark.parametrize("key", [*store.encode(idle())])
def test_a_corrupt_secret_is_replaced(
    key: str, fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    data = {**store.encode(idle()), key: "AAAA"}
    metadata = {"annotations": {ca_cluster.ROTATE: "requested", "kept": "yes"}}
    fake.put(SECRET, {"type": store.SECRET_TYPE, "data": data, "metadata": metadata})
    assert ringfence(capsys, *restoring)[0] == 0
    assert stored(fake) == idle()
    # What was asked of the CA before is not asked of this one.
    assert fake.objects[SECRET]["metadata"]["annotations"] == {"kept": "yes"}


def test_the_same_again_changes_nothing_but_a_marker_that_is_missing(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    status, said = ringfence(capsys, *restoring)
    assert (status, fake.writes) == (0, [])
    assert "exactly this CA already" in said
    # Somebody was interrupted between the two writes.
    fake.ca(idle(), marker=OTHER)
    assert ringfence(capsys, *restoring)[0] == 0
    assert fake.writes == [("PUT", "ringfence-trust-bundle")]
    assert stored(fake) == idle()


@pytest.mark.parametrize("state", [OTHER, PREPARED], ids=["another", "further on"])
def test_a_ca_that_can_be_used_is_replaced_only_by_two_words(
    state: CaState, fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(state)
    for more in ([], ["--yes"], ["--replace"]):
        status, said = ringfence(capsys, *restoring, *more)
        assert (status, fake.writes) == (1, [])
        assert "nothing was changed" in said
    status, said = ringfence(capsys, *restoring, "--replace", "--yes")
    assert status == 0
    assert f"the backup does not hold {root(2).root.fingerprint[:16]}" in said
    assert stored(fake) == idle()


def test_a_backup_from_before_a_rotation_says_what_it_cuts_off(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(OTHER)
    del fake.objects[SECRET]
    status, said = ringfence(capsys, *restoring)
    assert (status, fake.writes) == (1, [])
    assert "say --yes" in said
    assert ringfence(capsys, *restoring, "--yes")[0] == 0
    assert stored(fake) == idle()


def test_whoever_is_quicker_wins(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.hurry = lambda: fake.ca(OTHER)
    status, said = ringfence(capsys, *restoring)
    assert status == 2
    assert "somebody else changed the CA" in said
    assert stored(fake) == OTHER


def test_a_secret_that_was_mended_meanwhile_is_left_as_it_is(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    fake.put(SECRET, {"type": store.SECRET_TYPE, "data": {}})
    fake.hurry = lambda: fake.ca(OTHER)
    status, said = ringfence(capsys, *restoring)
    assert status == 2
    assert "somebody else changed the CA" in said
    assert stored(fake) == OTHER


def test_a_marker_that_comes_meanwhile_is_written_over(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle(), marker=idle())
    del fake.objects[SECRET]
    fake.hurry = lambda: fake.put(MARKER, {"data": store.marker(OTHER)})
    assert ringfence(capsys, *restoring)[0] == 0
    assert stored(fake) == idle()


def test_foreign_trust_domains_are_never_taken(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed("other.example")
    status, said = ringfence(capsys, *restoring, "--replace", "--yes")
    assert status == 2
    assert "the settings of this cluster say other.example" in said
    fake.installed()
    foreign = slots.first("other.example", make_root("other.example", NOW, 9 | 1 << 100), NOW)
    fake.put(MARKER, {"data": store.marker(foreign)})
    status, said = ringfence(capsys, *restoring, "--replace", "--yes")
    assert status == 2
    assert "ringfence-trust-bundle of this cluster say other.example" in said
    assert fake.writes == []


def test_somebody_else_s_secret_is_left_alone(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.put(SECRET, {"type": "Opaque", "data": {}})
    for command in (restoring, ("init", "--new-root")):
        status, said = ringfence(capsys, *command, "--yes")
        assert (status, fake.writes) == (2, [])
        assert "delete it if nobody needs it" in said


@pytest.mark.parametrize(
    ("moment", "message"), [(NOW + 400 * DAY, "ended on"), (NOW - 30 * DAY, "is not valid before")]
)
def test_a_root_that_would_not_do_is_not_restored(
    moment: float,
    message: str,
    fake: FakeCluster,
    restoring: tuple[object, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.installed()
    monkeypatch.setattr(ca_cluster, "clock", lambda: float(moment))
    status, said = ringfence(capsys, *restoring)
    assert (status, fake.writes) == (2, [])
    assert message in said


def bad_files() -> dict[str, tuple[bytes, str]]:
    good = backup.seal(store.encode(idle()), PASSPHRASE, salt=b"s" * 16, nonce=b"n" * 12, now=NOW, cost=2**4)
    lines = good.splitlines(keepends=True)
    public = json.loads(lines[1])
    public["kdf"]["n"] = 2**30
    return {
        "empty": (b"", "no backup that"),
        "something else": (b"-----BEGIN CERTIFICATE-----\n", "no backup that"),
        "binary": (bytes(range(256)) * 9, "no backup that"),
        "another version": (good.replace(b"BACKUP 1", b"BACKUP 2", 1), "another version"),
        "header only": (lines[0], "second line is damaged"),
        "cut": (good[: len(good) // 2], "damaged|was changed"),
        "cut by a character": (good[:-2], "damaged|was changed"),
        "no body": (lines[0] + lines[1], "the passphrase is wrong or the file was changed"),
        "tampered": (good.replace(lines[5], lines[6], 1), "the passphrase is wrong or the file was changed"),
        "renamed": (good.replace(b"mesh.example", b"evil.example", 1), "the file was changed"),
        "greedy": (lines[0] + json.dumps(public).encode() + b"\n" + b"".join(lines[2:]), "out of bounds"),
        "huge": (lines[0] * 80_000, "too long"),
    }


@pytest.mark.parametrize("case", bad_files())
def test_files_that_are_no_backup(
    case: str, fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = bad_files()[case]
    fake.installed()
    path = tmp_path / "b"
    path.write_bytes(content)
    status, said = ringfence(capsys, "restore", path, "--passphrase-file", phrase, "--replace", "--yes")
    assert (status, fake.writes) == (2, [])
    assert said.startswith("error: ")
    assert re.search(message, said)


def test_a_wrong_passphrase_opens_nothing(
    fake: FakeCluster, phrase: Path, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    phrase.write_text("another passphrase")
    status, said = ringfence(capsys, *restoring)
    assert (status, fake.writes) == (2, [])
    assert "the passphrase is wrong or the file was changed" in said


def test_without_rights_nothing_is_restored(
    fake: FakeCluster, restoring: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.denied = (SECRET.rpartition("/")[0],)
    status, said = ringfence(capsys, *restoring)
    assert status == 2
    assert "you may not" in said
