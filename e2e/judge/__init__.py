"""An independent opinion on NetworkPolicies: cyclonus' simulator and generated cases, as a program of our own.

What Ringfence compiles and what the test-only enforcer enforces are both compared with a judge that shares no line with
either. ``build`` makes the program, ``e2e.judge.client.Judge`` talks to it; README.md lists
where the judge departs from Kubernetes.
"""

import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import go, paths

SOURCE = Path(__file__).resolve().parent
INPUTS = ("go.mod", "go.sum", "*.go")
BUILD_SECONDS = 900


class BuildError(Exception):
    """The judge could not be built; the message says what to install or what the compiler said."""


def build() -> Path:
    """Return the judge's program, building it first unless this version of its source has been built before.

    Concurrent callers wait for one build. Raises BuildError, or ClusterError when there is no Go to be had.
    """
    home = paths.cache() / "tools" / f"judge-{source_hash()}"
    program = home / "judge"
    if program.exists():
        return program
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not program.exists():
            _compile(go.toolchain(), program)
    return program


def source_hash() -> str:
    """Return 12 hexadecimal digits that change with every input of the build."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in INPUTS for path in SOURCE.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _compile(toolchain: Path, program: Path) -> None:
    """Build into a file beside the target and rename it, so that an interrupted build leaves no half program."""
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        made = Path(scratch) / program.name
        # GOTOOLCHAIN: what is at hand is new enough (go.toolchain checks), so never let it fetch another one.
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        command = [str(toolchain), "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(made), "."]
        try:
            done = subprocess.run(
                command,
                cwd=SOURCE,
                env=environment,
                check=False,
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise BuildError(f"building the judge took more than {BUILD_SECONDS} s: {' '.join(command)}") from error
        if done.returncode != 0:
            raise BuildError(f"building the judge failed: {' '.join(command)}\n{done.stderr.strip()}")
        made.rename(program)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
