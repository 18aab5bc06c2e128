"""Running a short command, with an error that tells what it said."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.cluster.errors import ClusterError


def run(*argv: str | Path, stdin: str | None = None, environment: dict[str, str] | None = None) -> str:
    """The command's standard output. Raises ClusterError with its standard error when it fails."""
    done = attempt(*argv, stdin=stdin, environment=environment)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(map(str, argv))} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def attempt(
    *argv: str | Path, stdin: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The command's outcome, whatever it is."""
    arguments: Sequence[str] = [str(part) for part in argv]
    return subprocess.run(arguments, input=stdin, capture_output=True, text=True, check=False, env=environment)
