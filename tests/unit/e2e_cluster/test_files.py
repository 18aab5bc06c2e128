"""A file that would not change is not written."""

import stat
from pathlib import Path

from e2e.cluster.files import put


def test_the_same_content_leaves_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "file"
    put(file, "one")
    before = file.stat()
    put(file, b"one")
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_content_replaces_it_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    put(file, "one")
    put(file, "two", mode=0o600)
    assert file.read_text() == "two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
