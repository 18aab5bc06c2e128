"""The programs and libraries that come as Debian packages; installed when one is missing."""

import ctypes
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster import versions
from e2e.cluster.command import attempt
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing(programs: Iterable[str]) -> list[str]:
    """The packages of those of these programs that are not on this machine, sorted."""
    return sorted({versions.DEBIAN_PACKAGES[program] for program in programs if not _found(program)})


def ensure(programs: Iterable[str] = tuple(versions.DEBIAN_PACKAGES)) -> None:
    """Installs what is missing. Raises ClusterError where that cannot be done."""
    packages = missing(programs)
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"install these (Debian's names): {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing {' '.join(packages)}"):
        install = ("apt-get", "install", "--yes", "--no-install-recommends", *packages)
        if attempt(*install, environment=environment).returncode == 0:
            return
        for command in (("apt-get", "update"), install):
            done = attempt(*command, environment=environment)
            if done.returncode != 0:
                raise ClusterError(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def _found(program: str) -> bool:
    if ".so." in program:
        try:
            ctypes.CDLL(program)
        except OSError:
            return False
        return True
    return Path(program).exists() if program.startswith("/") else shutil.which(program, path=_PATH) is not None
