"""Passphrases and the files of backups: nothing secret in an argument, the environment, or a file that others read."""

import contextlib
import getpass
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import Final

from ringfence.cli.console import Console
from ringfence.cli.problems import Usage
from ringfence.model.errors import RingfenceError

#: Longest file with a passphrase, in bytes.
MAX_PASSPHRASE: Final = 4096
#: Longer files are no backups; the pki layer says so, here only memory is spared.
MAX_FILE: Final = (1 << 20) + 1


class BadFile(RingfenceError):
    """A file that cannot be read or written; the message names it and says what to do."""


class Exists(BadFile):
    """The file is there already."""


def passphrase(path: Path | None, console: Console, *, twice: bool) -> str:
    """From the first line of the file, else from the terminal (``twice``: and again); raises BadFile or Usage."""
    if path is not None:
        return _from_file(path, console)
    if not sys.stdin.isatty():
        raise Usage("there is no terminal to ask for the passphrase: name a file with --passphrase-file")
    said = _asked("Passphrase: ")
    if twice and _asked("The same again: ") != said:
        raise BadFile("the two passphrases differ: nothing was written")
    return said


def _asked(prompt: str) -> str:
    try:
        said = getpass.getpass(prompt)
        said.encode()
    except EOFError:
        raise BadFile("no passphrase was given") from None
    except UnicodeEncodeError:
        raise BadFile("the passphrase holds bytes that are no text in this terminal's encoding") from None
    return said


def _from_file(path: Path, console: Console) -> str:
    content = _read(path, MAX_PASSPHRASE + 1)
    if len(content) > MAX_PASSPHRASE:
        raise BadFile(f"{path} has more than {MAX_PASSPHRASE} bytes: it is no passphrase")
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise BadFile(f"{path} is no text in UTF-8") from None
    if not lines or not lines[0]:
        raise BadFile(f"the first line of {path} is empty: write the passphrase there")
    if any(lines[1:]):
        raise BadFile(f"{path} has more than one line: write the passphrase alone")
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) and mode & 0o077:
            console.warn(f"others may read {path}: chmod 600 it")
    return lines[0]


def read(path: Path) -> bytes:
    """The bytes of a backup; raises BadFile."""
    return _read(path, MAX_FILE)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error


def check_free(path: Path, *, force: bool) -> None:
    """Raise Exists or BadFile before anybody is asked for a passphrase in vain."""
    if path.is_dir():
        raise BadFile(f"{path} is a directory: name a file")
    if not force and os.path.lexists(path):
        raise Exists(f"{path} exists: name another file, or say --force to replace it")
    if not path.parent.is_dir():
        raise BadFile(f"the directory {path.parent} does not exist")


def write(path: Path, content: bytes, *, force: bool) -> None:
    """A whole new file with mode 0600, or none; what was there is replaced only with ``force``."""
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if force:
                draft.replace(path)
            else:
                # Unlike renaming, linking never takes the place of a file that came meanwhile.
                path.hardlink_to(draft)
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError as error:
        raise Exists(f"{path} exists: name another file, or say --force to replace it") from error
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror or error}") from error
