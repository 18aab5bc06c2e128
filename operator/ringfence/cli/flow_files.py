"""Recorded calls from files and standard input, with what to say of lines that could not be read."""

import argparse
import gzip
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final, cast

from ringfence.cli.console import Console
from ringfence.cli.problems import BadInput, Problem, Usage
from ringfence.flows import reading
from ringfence.flows.cast import Learned
from ringfence.flows.flow import Flow, Party
from ringfence.flows.reading import Tally

STDIN: Final = "-"
#: Whose proxies wrote a log, before its name.
_OWNER: Final = re.compile(r"([a-z0-9-]{1,63})/([a-z0-9.-]{1,253})=(.+)", re.DOTALL)
#: Lines between two words on how far it is.
_STEP: Final = 20_000
#: What gzip raises where a file ends too early, is none, or was damaged.
_CUT: Final = (EOFError, OSError, zlib.error)


def add(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The option that names the records."""
    parser.add_argument(
        "--flows",
        action="append",
        default=[],
        required=required,
        metavar="FILE",
        help=(
            "recorded calls, one JSON object a line (.gz too), or - for standard input: proxies' access logs, Hubble's "
            "flows, or Ringfence's own format; NAMESPACE/IDENTITY=FILE says whose proxies wrote a log. May be repeated"
        ),
    )


@dataclass
class Files:
    """Opened records, which can be read more than once. Close it."""

    sources: Sequence[tuple[str, Party | None, IO[bytes]]]
    size: int
    console: Console
    tally: Tally = field(default_factory=Tally)

    def learn(self) -> Learned:
        """Whose addresses proxies have seen certificates of."""
        found = Learned()
        for name, _, stream in self.sources:
            stream.seek(0)
            try:
                for flow in reading.told_by_proxies(stream):
                    found.add(flow)
            except _CUT as error:
                _unreadable(name, stream, error)
        return found

    def flows(self) -> Iterator[Flow]:
        """All flows, with what could not be read in ``tally``, and how far it is on a terminal."""
        count = 0
        for name, owner, stream in self.sources:
            stream.seek(0)
            try:
                for flow in reading.read(stream, name, self.tally, owner):
                    count += 1
                    if count % _STEP == 0:
                        self.console.ticking(f"{count:,} calls{self._share()}")
                    yield flow
            except _CUT as error:
                _unreadable(name, stream, error)
                self.tally.truncated.append(name)
        self.console.ticking("")

    def _share(self) -> str:
        done = sum(_place(stream) for _, _, stream in self.sources)
        return f", {min(99, 100 * done // self.size)} %" if self.size else ""

    def close(self) -> None:
        """Close all of them."""
        for _, _, stream in self.sources:
            stream.close()


def opened(arguments: argparse.Namespace, console: Console) -> Files:
    """The files that ``--flows`` names. Raises BadInput with every one that cannot be opened, and Usage."""
    if STDIN in arguments.filename and any(each.rpartition("=")[2] == STDIN for each in arguments.flows):
        raise Usage("standard input can be given once: name a file for -f or for --flows")
    sources: list[tuple[str, Party | None, IO[bytes]]] = []
    problems = []
    for text in dict.fromkeys(arguments.flows):
        match = _OWNER.fullmatch(text)
        owner = Party(match[1], match[2], named=True) if match is not None else None
        name = match[3] if match is not None else text
        try:
            sources.append(("<stdin>" if name == STDIN else name, owner, _open(name)))
        except OSError as error:
            problems.append(Problem(name, 0, "", "", f"cannot be read: {error.strerror or error}"))
    if problems:
        for _, _, stream in sources:
            stream.close()
        raise BadInput(problems)
    return Files(sources, sum(_size(stream) for _, _, stream in sources), console)


def _open(name: str) -> IO[bytes]:
    if name == STDIN:
        return _spooled(sys.stdin.buffer)
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(name, "rb"))
    file = open(name, "rb")  # noqa: SIM115 (closed with the others)
    if file.seekable():
        return file
    with file:
        return _spooled(file)


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """What comes from a pipe, kept in a file, since it is read twice."""
    spooled = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the others)
    shutil.copyfileobj(stream, spooled)
    spooled.seek(0)
    return spooled


def _raw(stream: Any) -> Any:
    """The file itself, under what unpacks it."""
    return stream.fileobj if isinstance(stream, gzip.GzipFile) else stream


def _size(stream: IO[bytes]) -> int:
    raw = _raw(stream)
    here = raw.tell()
    size = int(raw.seek(0, 2))
    raw.seek(here)
    return size


def _place(stream: IO[bytes]) -> int:
    return 0 if stream.closed else int(_raw(stream).tell())


def _unreadable(name: str, stream: Any, error: Exception) -> None:
    """Raise BadInput for what is not read for another reason than that a packed file ends too early."""
    if not (isinstance(stream, gzip.GzipFile) and isinstance(error, EOFError)):
        raise BadInput([Problem(name, 0, "", "", f"cannot be read: {error}")]) from error


def remark(tally: Tally, console: Console) -> None:
    """Say what could not be read, and what was left aside."""
    for place, message in tally.complaints:
        console.warn(f"{place}: {message}")
    more = tally.bad - len(tally.complaints)
    if more:
        console.warn(f"{more:,} more lines could not be read")
    for name in dict.fromkeys(tally.truncated):
        console.warn(f"{name}: ends within a record: it was cut off, so calls may be missing")
    for what, count in sorted(tally.aside.items()):
        console.note(f"{count:,} lines left aside: {what}")


def data(tally: Tally) -> dict[str, Any]:
    """The same for programs."""
    return {
        "lines": tally.lines,
        "formats": dict(sorted(tally.flows.items())),
        "aside": dict(sorted(tally.aside.items())),
        "bad": tally.bad,
        "complaints": [{"at": place, "message": message} for place, message in tally.complaints],
        "truncated": sorted(set(tally.truncated)),
    }
