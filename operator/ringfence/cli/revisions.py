"""Manifests as a git repository has them at a revision: ``REV:PATH``, read as git itself reads that."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

from ringfence.cli import documents
from ringfence.cli.documents import Content, Document
from ringfence.cli.problems import BadInput, Problem

#: A repository that answers more slowly is not one that a person waits for.
_PATIENCE: Final = 120
_FILES: Final = frozenset({"100644", "100755"})


def names_revision(text: str) -> bool:
    """Whether ``text`` is written as a path at a revision, and is no file that is there."""
    revision, colon, _ = text.partition(":")
    return bool(colon and revision) and not os.path.lexists(text)


def read(text: str) -> tuple[Document, ...]:
    """The documents below ``REV:PATH`` (PATH counts from the top of the repository, ``./`` from here).

    Raises BadInput with every problem.
    """
    return documents.parsed([_contents(text)], text)


def _contents(text: str) -> Iterator[Content]:
    found = _git(text, "rev-parse", "--verify", "--quiet", "--end-of-options", text).decode().strip()
    if _git(text, "cat-file", "-t", found).strip() == b"blob":
        yield text, _blob(text, found), False
        return
    for name, blob in _files(text, found):
        shown = f"{text.rstrip('/')}/{name}" if not text.endswith(":") else f"{text}{name}"
        yield shown, _blob(shown, blob), True


def _files(text: str, tree: str) -> Iterator[tuple[str, str]]:
    """(path, object) of the manifests in a tree; hidden ones are left out, as they are in directories."""
    for entry in _git(text, "ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
        if not entry:
            continue
        about, _, raw = entry.partition(b"\t")
        mode, _, blob = about.decode().split()
        path = PurePosixPath(os.fsdecode(raw))
        hidden = any(part.startswith(".") for part in path.parts)
        if mode in _FILES and not hidden and path.suffix.lower() in documents.SUFFIXES:
            yield str(path), blob


def _blob(shown: str, blob: str) -> bytes:
    size = int(_git(shown, "cat-file", "-s", blob))
    if size > documents.MAX_FILE:
        message = f"is larger than {documents.MAX_FILE >> 20} MiB"
        raise BadInput([Problem(shown, 0, "", "", message, "split it")])
    return _git(shown, "cat-file", "blob", blob)


def _git(shown: str, *arguments: str) -> bytes:
    command: Sequence[str] = ("git", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
    except FileNotFoundError as error:
        raise _bad(shown, "is a path at a revision, and there is no git to read it") from error
    except subprocess.TimeoutExpired as error:
        raise _bad(shown, f"could not be read within {_PATIENCE} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ").partition("\n")[0]
        why = said or "there is no such path at that revision"
        raise _bad(shown, f"cannot be read from git: {why}")
    return done.stdout


def _bad(shown: str, message: str) -> BadInput:
    fix = "write REVISION:PATH, PATH from the top of the repository"
    return BadInput([Problem(shown, 0, "", "", message, fix)])
