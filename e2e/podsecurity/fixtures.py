"""The pods that Kubernetes tests its Pod Security policies with, read where Go keeps them; none is kept here."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e import podsecurity
from e2e.podsecurity.client import Standard

_PATH = re.compile(r"(baseline|restricted)/v1\.([0-9]+)/(pass|fail)/([a-z_]+?)[0-9]*\.yaml")


@dataclass(frozen=True, slots=True)
class Fixture:
    """One file: ``path`` below the directory of fixtures, ``check`` the id of a check in lower case, or base."""

    path: str
    standard: Standard
    passes: bool
    check: str
    pod: dict[str, Any]


def load() -> list[Fixture]:
    """Return every fixture, by path. Raises BuildError when they cannot be had, ValueError for a path of a new form."""
    root = directory()
    parsed: dict[bytes, dict[str, Any]] = {}
    found = []
    for path in sorted(root.glob("*/v1.*/*/*.yaml")):
        relative = path.relative_to(root).as_posix()
        match = _PATH.fullmatch(relative)
        if match is None:
            raise ValueError(f"{relative}: the names of the fixtures have changed; read e2e/podsecurity/fixtures.py")
        level, minor, verdict, check = match.groups()
        content = path.read_bytes()
        # Most files are the same from one version to the next, and reading YAML is what takes the time.
        if content not in parsed:
            parsed[content] = yaml.load(content, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (safe ones)
        found.append(Fixture(relative, Standard(level, int(minor)), verdict == "pass", check, parsed[content]))
    return found


def directory() -> Path:
    """Return where the fixtures are, fetching them first unless Go has them. Raises BuildError."""
    return podsecurity.MODULE.directory_of(podsecurity.UPSTREAM) / "test" / "testdata"
