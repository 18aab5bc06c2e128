"""The files that a build may see: the repository through the eyes of a .dockerignore file."""

import fnmatch
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Ignore:
    """An allow list in .dockerignore's language: `*`, then `!path` for what is let in, then `**/name` for what not."""

    allowed: tuple[str, ...]
    """Paths from the root of the context."""
    hidden: tuple[str, ...]
    """Patterns for one part of a path, wherever it stands."""

    def admits(self, path: PurePosixPath) -> bool:
        """Whether the build may see this path (from the root of the context)."""
        below = any(path.is_relative_to(each) for each in self.allowed)
        return below and not any(fnmatch.fnmatchcase(part, pattern) for part in path.parts for pattern in self.hidden)


def parse(text: str) -> Ignore:
    """Reads the file. Raises ValueError for a line that is not of the three forms, in their order."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines or lines[0] != "*":
        raise ValueError(".dockerignore: the first line must be * , so that what is not named stays out")
    allowed: list[str] = []
    hidden: list[str] = []
    for line in lines[1:]:
        if line.startswith("!") and not hidden and "*" not in line:
            allowed.append(line[1:])
        elif line.startswith("**/") and "/" not in line[3:]:
            hidden.append(line[3:])
        else:
            raise ValueError(f".dockerignore: {line!r} is neither !path (before the others) nor **/name")
    return Ignore(tuple(allowed), tuple(hidden))


@dataclass(frozen=True, slots=True)
class Context:
    """A directory, and what of it the build may see."""

    root: Path
    ignore: Ignore

    def files(self, source: str) -> Iterator[PurePosixPath]:
        """The files at or below a path, from the root, sorted. Raises ValueError when there is none."""
        start = self.root / source
        if start.is_file():
            found = [PurePosixPath(source)]
        else:
            found = [
                PurePosixPath(Path(directory, name).relative_to(self.root).as_posix())
                for directory, _, names in os.walk(start)
                for name in names
            ]
        admitted = sorted(path for path in found if self.ignore.admits(path))
        if not admitted:
            raise ValueError(f"COPY {source}: there is no such file in the context (is it in the .dockerignore file?)")
        yield from admitted

    def digest(self, sources: tuple[str, ...]) -> str:
        """Changes when a file's name, content or right to be executed does; times do not matter."""
        digest = hashlib.sha256()
        for source in sources:
            for path in self.files(source):
                file = self.root / path
                mode = "x" if os.access(file, os.X_OK) else "-"
                digest.update(f"{path}\0{mode}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()
