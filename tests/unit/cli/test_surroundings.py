"""However the command is started and ended, it says a sentence and never shows a traceback."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ringfence.cli import compile as compile_
from ringfence.cli import main

ROOT = Path(__file__).parents[3]
SHOP = str(ROOT / "examples" / "shop")
RINGFENCE = f"{sys.executable} -m ringfence"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator"), "SHOP": SHOP}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("redirected", "status"),
    [
        ("compile -f $SHOP >&-", 0),
        ("compile -f /does/not/exist 2>&-", 2),
        ("compile -f - <&-", 2),
    ],
)
def test_a_stream_that_is_closed_is_an_empty_one(redirected: str, status: int) -> None:
    done = shell(f"{RINGFENCE} {redirected}")
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr


def test_a_full_disk_is_no_defect() -> None:
    done = shell(f"{RINGFENCE} compile -f $SHOP >/dev/full")
    assert (done.returncode, "No space left on device" in done.stderr) == (2, True)
    assert "defect" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_what_the_system_refuses_is_told_with_the_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: Any) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "/some/file")

    monkeypatch.setattr(compile_, "run", refused)
    assert main.main(["compile", "-f", SHOP], {}) == 2
    assert capsys.readouterr().err == "error: /some/file: Too many open files\n"


def test_ctrl_c_while_it_starts_is_quiet() -> None:
    """Its own modules take a second to import; what Python does before them is not ours."""
    # A shell that starts tests in the background has them ignore interrupts. It says when it has begun.
    waits = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
real = signal.signal
def told(number, handler):
    before = real(number, handler)
    if handler is signal.SIG_DFL:
        print("here", flush=True)
    return before
signal.signal = told
import ringfence.__main__ as m
sys.exit(m.main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", waits, "compile", "-f", "-"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode in {-signal.SIGINT, 130}
    assert err == b""


def test_whoever_has_interrupts_ignored_keeps_that() -> None:
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); import ringfence.__main__ as m;"
        "m.main(); print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "operator")}
    command = [sys.executable, "-c", script, "version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_a_terminal_that_knows_ascii_alone_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "b\u00fccher"
    shutil.copytree(SHOP, directory)
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main.main(["explain", "shop-data/ledger", "-f", str(directory)], {}) == 0
    assert b"b\\xfccher/30-policies.yaml:44" in written.getvalue()


@pytest.mark.parametrize("asked", [["help"], ["help", "can-i"], ["help", "ca", "rotate"]])
def test_help_is_a_command_too(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(asked, {}) == 0
    wanted = capsys.readouterr().out
    assert main.main([*asked[1:], "--help"], {}) == 0
    assert capsys.readouterr().out == wanted
    assert wanted.startswith(" ".join(["usage: ringfence", *asked[1:]]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["can-i"], "error: the following arguments are required: FROM, TO (see `ringfence can-i --help`)\n"),
        (["can-i", "a", "b", "--port", "70000"], "(see `ringfence can-i --help`)\n"),
        (["ca", "backup"], "error: the following arguments are required: FILE (see `ringfence ca backup --help`)\n"),
        (["compile", "--nonsense"], "error: unrecognized arguments: --nonsense (see `ringfence compile --help`)\n"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(arguments, {}) == 2
    found = capsys.readouterr().err
    assert found.endswith(said)
    assert found.startswith("error: ")
    assert found.count("\n") == 1
