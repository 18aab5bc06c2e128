"""Programs that outlive the command that starts them.

A process id alone is no name: ids are reused. Each program is therefore remembered by id and start time, and nothing is
ever signalled that does not match both.
"""

import json
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.cluster.errors import ClusterError

_POLL = 0.05


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot (proc(5), stat field 22); None for none or a zombie.

    Of one that was killed the first thread may be a zombie while others have yet to end: until then all that it holds,
    ports among it, is taken.
    """
    place = Path(f"/proc/{pid}")
    try:
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        ended = fields[0] in "ZX" and len(list((place / "task").iterdir())) < 2
    except OSError:
        return None
    return None if ended else int(fields[19])


def tail(log: Path, lines: int = 25) -> str:
    """The last lines of a log, indented; says so when there are none."""
    try:
        with log.open(errors="replace") as stream:
            last = deque(stream, maxlen=lines)
    except OSError:
        last = deque()
    return "".join(f"    | {line}" for line in last) or "    | (the log is empty)\n"


@dataclass(frozen=True, slots=True)
class Daemon:
    """One long-running program: what to run, and where it leaves its log and its mark."""

    name: str
    argv: Sequence[str]
    directory: Path
    """Holds <name>.log and <name>.pid."""
    entering: Sequence[str] = ()
    """A command that runs what follows it in other namespaces and stays its parent (nsenter --pid, unshare --fork)."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.directory / f"{self.name}.log"

    @property
    def mark(self) -> Path:
        """Where its id and start time are kept."""
        return self.directory / f"{self.name}.pid"

    def running(self) -> bool:
        """Whether the very process that was started is alive."""
        return _alive(_read_mark(self.mark))

    def start(self) -> None:
        """Starts it, unless it runs already."""
        if self.running():
            return
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [*self.entering, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        pid = _only_child(child) if self.entering else child.pid
        began = start_time(pid) if pid is not None else None
        if began is not None:
            self.mark.write_text(json.dumps({"pid": pid, "start": began}))
        child.returncode = 0  # reaped in stop(); keeps Popen from warning that it still runs

    def wait(self, ready: Callable[[], bool], *, within: float) -> None:
        """Returns when `ready` holds. Raises ClusterError, with the end of the log, when it ends or time runs out."""
        deadline = time.monotonic() + within
        while not ready():
            if not self.running():
                raise ClusterError(f"{self.name} ended while it was starting; the end of {self.log}:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name} was not ready within {within:.0f} s; {self.log}:\n{tail(self.log)}")
            time.sleep(_POLL)

    def pid(self) -> int:
        """Its process id, as the machine sees it. Raises ClusterError when it does not run."""
        known = _read_mark(self.mark)
        if known is None or not _alive(known):
            raise ClusterError(f"{self.name} does not run; see {self.log}")
        return known[0]

    def stop(self, grace: float = 10.0) -> None:
        """Ends it: politely, then, after `grace` seconds, by force."""
        stop_marked(self.mark, grace)


def stop_marked(mark: Path, grace: float = 10.0) -> None:
    """Ends the process that a mark names, if it still is that process, and removes the mark."""
    known = _read_mark(mark)
    for wanted, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
        if known is None or not _alive(known):
            break
        with suppress(ProcessLookupError):
            os.kill(known[0], wanted)
        deadline = time.monotonic() + patience
        while _alive(known) and time.monotonic() < deadline:
            time.sleep(_POLL)
    if known is not None:
        _reap(known[0])
    mark.unlink(missing_ok=True)


def _only_child(parent: subprocess.Popen[bytes]) -> int | None:
    """The child of a command that forks once; None when the command ended before it did."""
    while parent.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and _parent(entry) == parent.pid:
                return int(entry.name)
        time.sleep(0.01)
    return None


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _read_mark(mark: Path) -> tuple[int, int] | None:
    try:
        value = json.loads(mark.read_text())
        return int(value["pid"]), int(value["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _alive(known: tuple[int, int] | None) -> bool:
    return known is not None and start_time(known[0]) == known[1]


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
