"""Programs of our own in Go are built once for each version of their source."""

import subprocess
from pathlib import Path

import pytest

from e2e.cluster import go, goprogram

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
    program = goprogram.build(source, "it")
    assert subprocess.run([program], check=True, capture_output=True, text=True).stderr == "well"
    program.write_text("kept")
    assert goprogram.build(source, "it").read_text() == "kept"
    (source / "main.go").write_text(GOOD.replace("well", "anew"))
    other = goprogram.build(source, "it")
    assert subprocess.run([other], check=True, capture_output=True, text=True).stderr == "anew"


def test_what_the_compiler_says_is_told_and_nothing_is_left_that_looks_built(source: Path) -> None:
    (source / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")
    with pytest.raises(goprogram.BuildError, match=r"(?s)building it failed: .*undefined: nothing"):
        goprogram.build(source, "it")
    (source / "main.go").write_text(GOOD)
    assert goprogram.build(source, "it").exists()


def test_a_build_that_takes_too_long_is_ended(source: Path) -> None:
    with pytest.raises(goprogram.BuildError, match="took more than 0 s"):
        goprogram.build(source, "it", within=0.001)
