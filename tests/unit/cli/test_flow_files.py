"""Records from files, packed files and standard input."""

import gzip
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import main

GOLDEN = Path(__file__).parents[2] / "golden" / "cli"
WORLD = str(GOLDEN / "shop.in.yaml")
CALL = json.dumps({"source": "shop/web", "target": "shop/api", "port": 8080})


def simulate(capsys: pytest.CaptureFixture[str], *flows: str) -> tuple[int, dict[str, Any], str]:
    arguments = [part for each in flows for part in ("--flows", each)]
    status = main.main(["simulate", "-f", WORLD, *arguments, "-o", "json"], {})
    said = capsys.readouterr()
    return status, json.loads(said.out or "{}"), said.err


def test_packed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flows.jsonl.gz"
    path.write_bytes(gzip.compress(f"{CALL}\n{CALL}\n".encode()))
    status, told, _ = simulate(capsys, str(path))
    assert (status, told["allowed"]["calls"], told["partial"]) == (0, 2, False)


def test_a_packed_file_that_was_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flows.jsonl.gz"
    many = "".join(f'{CALL[:-1]}, "count": {number}}}\n' for number in range(1, 20_000))
    path.write_bytes(gzip.compress(many.encode())[:-2000])
    status, told, err = simulate(capsys, str(path))
    assert status == 2
    assert 0 < told["records"] < 20_000
    assert told["read"]["truncated"] == [str(path)]
    assert "it was cut off" in err


def test_a_file_that_is_called_packed_and_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flows.gz"
    path.write_text(CALL)
    status, _, err = simulate(capsys, str(path))
    assert status == 2
    assert f"{path}: cannot be read: Not a gzipped file" in err


def test_a_packed_file_with_wrong_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flows.jsonl.gz"
    packed = bytearray(gzip.compress("".join(f"{CALL}{number}\n" for number in range(999)).encode()))
    # The first block of the packed data has a type that does not exist.
    packed[10] |= 0b110
    path.write_bytes(packed)
    status, _, err = simulate(capsys, str(path))
    assert status == 2
    assert f"{path}: cannot be read: " in err
    assert "defect" not in err


def test_a_pipe_of_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text(f"{CALL}\n" * 3))
    writer.start()
    status, told, err = simulate(capsys, str(path))
    writer.join()
    assert (status, told["allowed"]["calls"], err.count("error")) == (0, 3, 0)


def test_standard_input_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flows.jsonl"
    path.write_text(f"{CALL}\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{CALL}\nno\n".encode())))
    status, told, err = simulate(capsys, str(path), "-")
    assert (status, told["allowed"]["calls"]) == (2, 2)
    assert "<stdin>:2: is no JSON" in err


def test_progress_is_for_terminals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ringfence.cli.flow_files._STEP", 2)
    path = tmp_path / "flows.jsonl"
    path.write_text(f"{CALL}\n" * 5)
    assert "5" not in simulate(capsys, str(path))[2]
    terminal = _Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    simulate(capsys, str(path))
    assert "\r\x1b[K4 calls, " in terminal.getvalue()
    assert " %" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
