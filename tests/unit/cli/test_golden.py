"""Whole command lines against what they answered before: standard output, remarks and exit status."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main

DIRECTORY = Path(__file__).parents[2] / "golden" / "cli"
CASES = sorted(path.stem for path in DIRECTORY.glob("*.cmd"))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(DIRECTORY)
    monkeypatch.setenv("COLUMNS", "120")
    # No cluster to fall back to.
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, golden: Any, capsys: pytest.CaptureFixture[str]) -> None:
    parts = []
    for line in (DIRECTORY / f"{case}.cmd").read_text().splitlines():
        status = main.main(shlex.split(line), {})
        said = capsys.readouterr()
        assert "defect" not in said.err
        parts.append(f"$ ringfence {line}\n{said.out}")
        if said.err:
            parts.append(f"(stderr)\n{said.err}")
        parts.append(f"(exit status {status})\n\n")
    golden.check(DIRECTORY / f"{case}.out.txt", "".join(parts))


def test_there_are_cases() -> None:
    assert len(CASES) > 5


def test_every_output_has_its_command() -> None:
    assert sorted(path.name.removesuffix(".out.txt") for path in DIRECTORY.glob("*.out.txt")) == CASES
