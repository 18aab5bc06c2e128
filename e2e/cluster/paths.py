"""Where things are kept: builds and state live outside the work tree, so that cleaning it loses nothing."""

import os
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
"""The root of the checkout."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def cache() -> Path:
    """The directory for everything that can be made again; RINGFENCE_CACHE overrides it."""
    configured = os.environ.get("RINGFENCE_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "ringfence"


def cluster(name: str) -> Path:
    """The state directory of one cluster. Raises ValueError for a name that is not a short DNS label."""
    return cache() / "cluster" / checked_name(name)


def checked_name(name: str) -> str:
    """The same name, when it may stand in file, interface and host names; raises ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"cluster name {name!r}: use 1 to 32 lower-case letters, digits and '-', not at the ends")
    return name
