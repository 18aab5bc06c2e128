"""Go programs of this repository that have a go.mod of their own: built once and kept by the hash of their sources."""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import go, paths

INPUTS = ("go.mod", "go.sum", "*.go")
BUILD_SECONDS = 900


class BuildError(Exception):
    """A program could not be built; the message says what to install or what the compiler said."""


def build(source: Path, name: str, *, within: float = BUILD_SECONDS) -> Path:
    """Return the program ``name`` of a directory, building it first unless this version of it has been built before.

    Concurrent callers wait for one build, which may take ``within`` seconds. Raises BuildError, or ClusterError when
    there is no Go to be had.
    """
    home = paths.cache() / "tools" / f"{name}-{source_hash(source)}"
    program = home / name
    if program.exists():
        return program
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not program.exists():
            _compile(go.toolchain(), source, program, within)
    return program


def source_hash(source: Path) -> str:
    """Return 12 hexadecimal digits that change with every input of the build."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in INPUTS for path in source.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def environment() -> dict[str, str]:
    """Of every call of Go."""
    # GOTOOLCHAIN: what is at hand is new enough (go.toolchain checks), so never let it fetch another one.
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _compile(toolchain: Path, source: Path, program: Path, within: float) -> None:
    """Build into a file beside the target and rename it, so that an interrupted build leaves no half program."""
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        made = Path(scratch) / program.name
        command = [str(toolchain), "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(made), "."]
        try:
            done = subprocess.run(
                command,
                cwd=source,
                env=environment(),
                check=False,
                capture_output=True,
                text=True,
                timeout=within,
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"building {program.name} took more than {within:.0f} s: {' '.join(command)}") from error
        if done.returncode != 0:
            raise BuildError(f"building {program.name} failed: {' '.join(command)}\n{done.stderr.strip()}")
        made.rename(program)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
