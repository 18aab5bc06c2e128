"""Where the programs are kept, and that a build is found again."""

import threading
import time
from pathlib import Path

import pytest

from e2e.cluster import tools
from e2e.cluster.tools import CONTROL


def test_a_complete_set_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "/nonexistent")  # no Go: building would fail
    directory = tools.binaries()
    directory.mkdir(parents=True)
    for name in ("rf-control", "etcd", "kube-apiserver", "kubectl"):
        (directory / name).touch()
    assert tools.ensure(CONTROL) == directory


def test_the_place_depends_on_what_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "programs"
    (source / "cmd" / "one").mkdir(parents=True)
    (source / "go.mod").write_text("module one\n")
    (source / "cmd" / "one" / "main.go").write_text("package main\n")
    monkeypatch.setattr(tools, "_SOURCE", source)
    first = tools.binaries()
    assert tools.binaries() == first
    (source / "cmd" / "one" / "main.go").write_text("package main // changed\n")
    assert tools.binaries() != first


def test_the_version_is_stamped() -> None:
    flags = " ".join(tools.build_flags())
    assert "version.gitVersion=v1." in flags
    assert "version.gitMajor=1 " in flags


def test_the_lock_holds_others_back(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with tools.lock(tmp_path / "lock", "waiting"):
            order.append("second")

    thread = threading.Thread(target=second)
    with tools.lock(tmp_path / "lock", "waiting"):
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
