"""What `ringfence ca rotate|backup|restore|init` change, and what they refuse to change."""

import asyncio
import getpass
import io
import json
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import ca_cluster, ca_files, ca_rotate, main
from ringfence.model.ca import CaState, RotationReason
from ringfence.pki import backup, slots, store
from ringfence.pki.root import make_root

from tests.unit.cli.ca_cluster_fake import MARKER, SECRET, SYSTEM, FakeCluster
from tests.unit.pki.material import DAY, NOW, TRUST_DOMAIN, idle, root

GOLDEN = Path(__file__).parents[2] / "golden" / "cli_ca"
PASSPHRASE = "correct horse battery staple"
OTHER = slots.first(TRUST_DOMAIN, root(2), NOW)
PREPARED = slots.prepare(idle(), root(2), NOW - 60, RotationReason.AGE)
ACTIVATED = slots.activate(PREPARED, NOW - 30, NOW + DAY)
FORCED = slots.prepare(idle(), root(2), NOW - 60, RotationReason.COMPROMISED)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
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


def requested(fake: FakeCluster) -> str:
    found: str = fake.objects[SECRET]["metadata"]["annotations"].get(ca_cluster.ROTATE, "")
    return found


# --- rotate -----------------------------------------------------------------------------------------------------------


def test_a_rotation_is_one_annotation(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed()
    fake.ca(idle(), annotations={"kept": "yes"})
    status, said = ringfence(capsys, "rotate", "--yes")
    assert (status, requested(fake), fake.writes) == (0, "requested", [("PATCH", "ringfence-ca")])
    assert fake.objects[SECRET]["metadata"]["annotations"]["kept"] == "yes"
    assert "requested: the controller replaces the root" in said
    # A second one has nothing to ask for; a compromise has.
    assert ringfence(capsys, "rotate", "--yes")[0] == 1
    assert ringfence(capsys, "rotate", "--yes", "--compromised")[0] == 0
    assert requested(fake) == "compromised"
    status, said = ringfence(capsys, "rotate", "--yes", "--compromised")
    assert status == 1
    assert "a rotation after a compromise is under way or requested" in said


@pytest.mark.parametrize(
    ("state", "planned", "compromised"), [(PREPARED, 1, 0), (ACTIVATED, 1, 0), (FORCED, 1, 1)], ids=["p", "a", "f"]
)
def test_only_a_compromise_comes_on_top_of_a_rotation(
    state: CaState, planned: int, compromised: int, fake: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(state)
    assert ringfence(capsys, "rotate", "--yes")[0] == planned
    assert fake.writes == []
    assert ringfence(capsys, "rotate", "--yes", "--compromised")[0] == compromised


@pytest.mark.parametrize(("answer", "expected"), [("yes\n", 0), ("y\n", 1), ("\n", 1), ("", 1)])
def test_on_a_terminal_it_asks(
    answer: str,
    expected: int,
    fake: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.installed()
    fake.ca(idle())
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert ringfence(capsys, "rotate")[0] == expected
    assert len(fake.writes) == 1 - expected


def test_a_ca_that_changed_meanwhile_is_not_asked(fake: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    fake.installed()
    fake.ca(idle())
    fake.hurry = lambda: fake.ca(PREPARED)
    status, said = ringfence(capsys, "rotate", "--yes")
    assert status == 2
    assert "somebody else changed the CA at the same moment" in said


def test_waiting_tells_each_phase_once_and_ends_with_the_old_root(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    done = slots.retire(slots.activate(PREPARED, NOW, NOW + 1), NOW + 2)
    phases = iter([idle(), idle(), PREPARED, PREPARED, ACTIVATED, done])

    async def sleep(_: float) -> None:
        state = next(phases)
        fake.ca(state, annotations={ca_cluster.ROTATE: "requested"} if state == idle() else {})

    monkeypatch.setattr(asyncio, "sleep", sleep)
    status, said = ringfence(capsys, "rotate", "--yes", "--wait")
    assert status == 0
    told = [line.partition(":")[0] for line in said.splitlines() if line.startswith(("Idle", "Prepared", "Activated"))]
    assert told == ["Idle", "Prepared", "Activated"]
    assert "signs and the old one is gone" in said


def test_waiting_has_an_end(
    fake: FakeCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ca_rotate, "PAUSE", 0.01)
    fake.installed()
    fake.ca(idle())
    status, said = ringfence(capsys, "rotate", "--yes", "--wait", "--timeout", "0.05")
    assert status == 1
    assert "the controller has not begun yet (does it run?)" in said


# --- backup -----------------------------------------------------------------------------------------------------------


def test_a_backup_holds_the_secret_and_is_nobody_else_s(
    fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(PREPARED)
    path = tmp_path / "ca.backup"
    status, said = ringfence(capsys, "backup", path, "--passphrase-file", phrase)
    assert status == 0
    assert "was opened again with the passphrase" in said
    assert "a rotation is under way (Prepared): make another backup" in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert backup.unseal(path.read_bytes(), PASSPHRASE).data == fake.objects[SECRET]["data"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["ca.backup", "passphrase"]
    assert fake.writes == []


def test_a_file_that_exists_is_replaced_only_when_told_to(
    fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    path = tmp_path / "ca.backup"
    path.write_text("precious")
    status, said = ringfence(capsys, "backup", path, "--passphrase-file", phrase)
    assert (status, path.read_text()) == (1, "precious")
    assert "say --force to replace it" in said
    path.chmod(0o644)
    assert ringfence(capsys, "backup", path, "--force", "--passphrase-file", phrase)[0] == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("precious")
    with pytest.raises(ca_files.Exists):
        ca_files.write(path, b"new", force=False)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["precious"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ca_files.Exists):
        ca_files.check_free(path, force=False)
    ca_files.write(path, b"new", force=True)
    assert not path.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("answers", "expected", "message"),
    [
        ([PASSPHRASE, PASSPHRASE], 0, "done"),
        ([PASSPHRASE, "another one, mistyped"], 2, "the two passphrases differ"),
        (["short", "short"], 2, "at least 12 are needed"),
        (["", ""], 2, "at least 12 are needed"),
    ],
)
def test_a_passphrase_is_asked_for_twice(
    answers: list[str],
    expected: int,
    message: str,
    fake: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake.installed()
    fake.ca(idle())
    typed = iter(answers)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", lambda _: next(typed))
    status, said = ringfence(capsys, "backup", tmp_path / "ca.backup")
    assert status == expected
    assert message in said
    assert (tmp_path / "ca.backup").exists() == (expected == 0)


@pytest.mark.parametrize(("said", "message"), [(EOFError(), "no passphrase"), ("\udcff" * 20, "are no text")])
def test_a_terminal_that_gives_no_text(
    said: str | Exception,
    message: str,
    fake: FakeCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def typed(_: str) -> str:
        if isinstance(said, Exception):
            raise said
        return said

    fake.installed()
    fake.ca(idle())
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", typed)
    status, told = ringfence(capsys, "backup", tmp_path / "b")
    assert status == 2
    assert message in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one line that is long\nand another\n", "more than one line"),
        (b"\xff" * 20, "no text in UTF-8"),
        (b"x" * 5000, "it is no passphrase"),
        (b"short\n", "at least 12"),
    ],
)
def test_passphrase_files_that_cannot_be_meant(
    content: bytes, message: str, fake: FakeCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    status, said = ringfence(capsys, "backup", tmp_path / "b", "--passphrase-file", path)
    assert status == 2
    assert message in said
    assert not (tmp_path / "b").exists()


def test_a_passphrase_that_others_read_is_remarked_on(
    fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle())
    phrase.chmod(0o644)
    phrase.write_bytes(PASSPHRASE.encode() + b"\r\n")
    status, said = ringfence(capsys, "backup", tmp_path / "b", "--passphrase-file", phrase)
    assert status == 0
    assert "others may read" in said
    assert backup.unseal((tmp_path / "b").read_bytes(), PASSPHRASE).trust_domain == TRUST_DOMAIN


def test_what_cannot_be_backed_up_is_said(
    fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    more = ("--passphrase-file", phrase)
    assert "nothing to write" in ringfence(capsys, "backup", tmp_path / "b", *more)[1]
    fake.put(SECRET, {"type": store.SECRET_TYPE, "data": {**store.encode(idle()), "state.json": "e30="}})
    status, said = ringfence(capsys, "backup", tmp_path / "b", *more)
    assert status == 2
    assert "state.json" in said
    fake.ca(idle())
    assert "is a directory" in ringfence(capsys, "backup", tmp_path, *more)[1]
    assert "does not exist" in ringfence(capsys, "backup", tmp_path / "no" / "b", *more)[1]
    assert "No such file" in ringfence(capsys, "backup", tmp_path / "b", "--passphrase-file", tmp_path / "no")[1]
    assert "no terminal to ask" in ringfence(capsys, "backup", tmp_path / "b")[1]
    fake.denied = (SECRET,)
    assert ringfence(capsys, "backup", tmp_path / "b", *more)[0] == 2
    assert not (tmp_path / "b").exists()


def test_a_ca_that_the_cluster_refuses_can_still_be_kept(
    fake: FakeCluster, phrase: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake.installed()
    fake.ca(idle(), marker=OTHER)
    status, said = ringfence(capsys, "backup", tmp_path / "b", "--passphrase-file", phrase)
    assert status == 0
    assert "warning: the cluster cannot use this CA" in said


# --- restore ----------------------------------------------------------------------------------------------------------


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


# --- init -------------------------------------------------------------------------------------------------------------


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
