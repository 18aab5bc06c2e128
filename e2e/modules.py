"""Go modules as data: what others have published and tests compare with, fetched when they run and never committed."""

import json
import os
import subprocess
from pathlib import Path

from e2e.cluster import go
from e2e.cluster.errors import ClusterError


def directory(module: str, version: str, checksum: str) -> Path:
    """Where the module's files are; fetched on first use. ``checksum`` is its line in a go.sum (``h1:...``).

    Raises ClusterError when it cannot be had or is not what the checksum says.
    """
    command = [str(go.toolchain()), "mod", "download", "-json", f"{module}@{version}"]
    environment = os.environ | {"GOFLAGS": "-mod=mod", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise ClusterError(f"cannot fetch {module}@{version}: {done.stderr}") from error
    if answer.get("Error"):
        raise ClusterError(f"cannot fetch {module}@{version}: {answer['Error']}")
    if answer.get("Sum") != checksum:
        raise ClusterError(f"{module}@{version} has the checksum {answer.get('Sum')}, expected {checksum}")
    return Path(answer["Dir"])
