"""An independent opinion on NetworkPolicies: cyclonus' simulator and generated cases, as a program of our own.

What Ringfence compiles and what the test-only enforcer enforces are both compared with a judge that shares no line with
either. ``build`` makes the program, ``e2e.judge.client.Judge`` talks to it; README.md lists where the judge departs from Kubernetes.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).resolve().parent
INPUTS = ("go.mod", "go.sum", "*.go")
BUILD_SECONDS = 900


class BuildError(Exception):
    """The judge could not be built; the message says what to install or what the compiler said."""


def build(go: str | None = None) -> Path:
    """Return the judge's program, building it first unless this version of its source has been built before.

    ``go`` names the Go command to use (default: ``go`` in PATH). Concurrent callers wait for one build. Raises BuildError.
    """
    home = cache() / "tools" / f"judge-{source_hash()}"
    program = home / "judge"
    if program.exists():
        return program
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "lock"):
        if not program.exists():
            _compile(_find_go(go), program)
    return program


def cache() -> Path:
    """Return the directory for what is built once and kept: ``$RINGFENCE_CACHE`` or ``~/.cache/ringfence``."""
    given = os.environ.get("RINGFENCE_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "ringfence"


def source_hash() -> str:
    """Return 12 hexadecimal digits that change with every input of the build."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in INPUTS for path in SOURCE.glob(pattern)):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _compile(go: str, program: Path) -> None:
    """Build into a file beside the target and rename it, so that an interrupted build leaves no half program."""
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        made = Path(scratch) / program.name
        # The toolchain at hand is new enough (checked): never let it fetch another one.
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(made), "."]
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


def _find_go(given: str | None) -> str:
    """Return a Go command that is at least as new as go.mod asks for."""
    found = given or shutil.which("go")
    needed = _version(re.compile(r"^go (\S+)$", re.MULTILINE), (SOURCE / "go.mod").read_text())
    wanted = ".".join(map(str, needed))
    if found is None:
        raise BuildError(f"the judge needs Go {wanted} or later: there is no `go` in PATH (`make init` provides one)")
    said = subprocess.run([found, "env", "GOVERSION"], check=True, capture_output=True, text=True, timeout=60).stdout
    if _version(re.compile(r"go(\d\S*)"), said) < needed:
        raise BuildError(f"the judge needs Go {wanted} or later: {found} is {said.strip()}")
    return found


def _version(pattern: re.Pattern[str], text: str) -> tuple[int, ...]:
    match = pattern.search(text)
    if match is None:
        raise BuildError(f"no Go version in {text!r}")
    return tuple(int(part) for part in re.findall(r"\d+", match.group(1))[:3])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
