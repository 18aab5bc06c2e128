"""What `ringfence ca backup` keeps, for whom, and under which passphrase."""

import getpass
import stat
import sys
from pathlib import Path

import pytest
from ringfence.cli import ca_files
from ringfence.pki import backup, store

from tests.unit.cli.ca_cluster_fake import SECRET, FakeCluster
from tests.unit.cli.ca_commands import OTHER, PASSPHRASE, PREPARED, Terminal, ringfence
from tests.unit.pki.material import TRUST_DOMAIN, idle

pytestmark = pytest.mark.usefixtures("cheap")


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
