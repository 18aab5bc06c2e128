"""Builds the program of a directory with a go.mod, once for each version of its source."""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import go, paths

INPUTS = ("go.mod", "go.sum", "*.go")
BUILD_SECONDS = 900
SHARED = Path(__file__).resolve().parent
"""The Go module that speaks the line protocol."""


class BuildError(Exception):
    """A program could not be built; the message says what to install or what the compiler said."""


@dataclass(frozen=True, slots=True)
class Module:
    """A directory with a go.mod; ``name`` is what its builds are kept under."""

    name: str
    source: Path

    def build(self, program: str, *command: str, within: float = BUILD_SECONDS) -> Path:
        """Return the path of a program, building it first unless this version of its source has been built before.

        ``command`` is what `go` is asked, by default to build the directory's main package. Concurrent callers wait
        for one build, which may take ``within`` seconds. Raises BuildError, or ClusterError where there is no Go.
        """
        home = paths.cache() / "tools" / f"{self.name}-{self.source_hash()}"
        made = home / program
        if made.exists():
            return made
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / "lock"):
            if not made.exists():
                self._compile(made, command or ("build",), within)
        return made

    def source_hash(self) -> str:
        """Return 12 hexadecimal digits that change with every input of the build, what all programs share included."""
        digest = hashlib.sha256()
        for path in sorted(path for home in (self.source, SHARED) for pattern in INPUTS for path in home.glob(pattern)):
            content = path.read_bytes()
            digest.update(f"{path.name} {len(content)}\n".encode() + content)
        return digest.hexdigest()[:12]

    def directory_of(self, module: str) -> Path:
        """Return where Go keeps a module that this one requires, after fetching it if need be. Raises BuildError."""
        toolchain = go.toolchain()
        self._go([str(toolchain), "mod", "download", module])
        return Path(self._go([str(toolchain), "list", "-m", "-f", "{{.Dir}}", module]).strip())

    def version_of(self, module: str) -> str:
        """Return the version (``v1.2.3``) of a module that this one requires. Raises BuildError."""
        return self._go([str(go.toolchain()), "list", "-m", "-f", "{{.Version}}", module]).strip()

    def _compile(self, made: Path, command: Sequence[str], within: float) -> None:
        """Build into a file beside the target and rename it, so that an interrupted build leaves no half program."""
        with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
            target = Path(scratch) / made.name
            flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(target), "."]
            self._go([str(go.toolchain()), *command, *flags], within)
            target.rename(made)

    def _go(self, command: list[str], within: float = BUILD_SECONDS) -> str:
        # GOTOOLCHAIN: what is at hand is new enough (go.toolchain checks), so never let it fetch another one.
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        try:
            done = subprocess.run(
                command,
                cwd=self.source,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=within,
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"{self.name} took more than {within} s: {' '.join(command)}") from error
        if done.returncode != 0:
            raise BuildError(f"{self.name} failed: {' '.join(command)}\n{done.stderr.strip()}")
        return done.stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
