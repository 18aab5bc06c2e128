"""Programs of our own in Go are built once for each version of their source."""

import subprocess
from pathlib import Path

import pytest

from e2e.cluster import go
from e2e.goprogram.build import BuildError, Module

GOOD = 'package main\n\nfunc main() { print("well") }\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toolchain = go.toolchain()
    monkeypatch.setattr(go, "toolchain", lambda: toolchain)
    monkeypatch.setenv("RINGFENCE_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "source"
    made.mkdir()
    (made / "go.mod").write_text("module example.test/it\n\ngo 1.22.0\n")
    (made / "main.go").write_text(GOOD)
    return made


def test_it_is_built_once_and_anew_when_its_source_changes(source: Path) -> None:
    program = Module("it", source).build("it")
    assert subprocess.run([program], check=True, capture_output=True, text=True).stderr == "well"
    program.write_text("kept")
    assert Module("it", source).build("it").read_text() == "kept"
    (source / "main.go").write_text(GOOD.replace("well", "anew"))
    other = Module("it", source).build("it")
    assert subprocess.run([other], check=True, capture_output=True, text=True).stderr == "anew"


def test_what_the_compiler_says_is_told_and_nothing_is_left_that_looks_built(source: Path) -> None:
    (source / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")
    with pytest.raises(BuildError, match=r"(?s)it failed: .*undefined: nothing"):
        Module("it", source).build("it")
    (source / "main.go").write_text(GOOD)
    assert Module("it", source).build("it").exists()


def test_a_build_that_takes_too_long_is_ended(source: Path) -> None:
    with pytest.raises(BuildError, match=r"took more than 0\.001 s"):
        Module("it", source).build("it", within=0.001)
