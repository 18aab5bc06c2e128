"""Programs are known by id and start time; these tests run real ones."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.cluster import process
from e2e.cluster.errors import ClusterError
from e2e.cluster.process import Daemon


def _sleeper(directory: Path) -> Daemon:
    return Daemon("sleeper", ("sleep", "60"), directory)


def test_started_twice_is_one_process(tmp_path: Path) -> None:
    daemon = _sleeper(tmp_path)
    daemon.start()
    try:
        first = daemon.pid()
        daemon.start()
        assert daemon.pid() == first
    finally:
        daemon.stop()
    assert process.start_time(first) is None
    assert not daemon.mark.exists()


def test_a_process_with_the_same_id_but_another_start_is_never_killed(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        mark = tmp_path / "sleeper.pid"
        mark.write_text(json.dumps({"pid": stranger.pid, "start": 1}))
        assert not _sleeper(tmp_path).running()
        process.stop_marked(mark)
        assert stranger.poll() is None
        stranger.kill()
    assert not mark.exists()


def test_one_that_ignores_the_polite_signal_is_ended_by_force(tmp_path: Path) -> None:
    daemon = Daemon("stubborn", ("sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"), tmp_path)
    daemon.start()
    daemon.wait(lambda: "up" in daemon.log.read_text(), within=10)
    begin = time.monotonic()
    daemon.stop(grace=0.2)
    assert not daemon.running()
    assert time.monotonic() - begin < 5


def test_one_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    daemon = Daemon("failing", ("sh", "-c", "echo no such thing; exit 3"), tmp_path)
    daemon.start()
    with pytest.raises(ClusterError, match=r"failing ended while it was starting(.|\n)*no such thing"):
        daemon.wait(lambda: False, within=10)


def test_one_that_never_gets_ready_is_reported_in_time(tmp_path: Path) -> None:
    daemon = _sleeper(tmp_path)
    daemon.start()
    try:
        with pytest.raises(ClusterError, match="not ready within"):
            daemon.wait(lambda: False, within=0.2)
    finally:
        daemon.stop()


def test_a_command_that_forks_is_known_by_its_child(tmp_path: Path) -> None:
    daemon = Daemon("child", ("sleep", "60"), tmp_path, entering=("sh", "-c", '"$@" & wait', "sh"))
    daemon.start()
    try:
        daemon.wait(lambda: Path(f"/proc/{daemon.pid()}/comm").read_text() == "sleep\n", within=5)
    finally:
        daemon.stop()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "start": 1}', '{"start": 1}'])
def test_a_broken_mark_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "sleeper.pid").write_text(text)
    assert not _sleeper(tmp_path).running()


def test_tail_of_a_missing_log_says_so(tmp_path: Path) -> None:
    assert "empty" in process.tail(tmp_path / "none.log")


def test_tail_keeps_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    assert process.tail(log, lines=2) == "    | line 98\n    | line 99\n"


def test_one_whose_first_thread_has_ended_runs_while_others_do(tmp_path: Path) -> None:
    """As for a moment each that is killed: it still has its ports, on which it could not be started again."""
    lines = (
        "import ctypes, threading, time",
        "threading.Thread(target=time.sleep, args=(60,)).start()",
        "print('up', flush=True)",
        "ctypes.CDLL(None).pthread_exit(None)",
    )
    daemon = Daemon("headless", (sys.executable, "-c", "\n".join(lines)), tmp_path)
    daemon.start()
    stat = Path(f"/proc/{daemon.pid()}/stat")
    daemon.wait(lambda: ") Z " in stat.read_text(), within=10)
    assert daemon.running()
    daemon.stop(grace=0)
    assert not daemon.running()
