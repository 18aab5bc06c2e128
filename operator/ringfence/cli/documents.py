"""Reads what ``-f`` names: files, directories and standard input, into documents that know where they stand."""

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from ringfence.cli import reader
from ringfence.cli.positions import Position
from ringfence.cli.problems import BadInput, Problem

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
#: More than this is no set of manifests that a person keeps.
MAX_FILE: Final = 64 * 1024 * 1024
#: The API server takes no larger object, and a List is its items.
MAX_OBJECT: Final = 1024 * 1024
STDIN: Final = "-"

#: Name to show, content, and whether it was met in a directory.
Content = tuple[str, bytes, bool]


@dataclass(frozen=True)
class Document:
    """One object as it was read: ``source`` is the file as the user named it.

    ``found`` says that the file was met in a directory, so what it holds may be none of our business. ``path`` is
    where the object stands in its document (an item of a List).
    """

    source: str
    value: Any
    read: reader.Read
    found: bool = False
    path: tuple[str | int, ...] = ()

    @property
    def position(self) -> Position:
        return self.read.position.under(*self.path)

    def problem(self, message: str, fix: str = "", *, field: str = "", subject: str = "") -> Problem:
        """Something wrong with this object, at the line of ``field``."""
        return Problem(self.source, self.position.line_of(field), subject, field, message, fix)

    @property
    def place(self) -> str:
        """``file:line`` of its first line; what a cluster answered has no lines."""
        return f"{self.source}:{self.position.line}" if self.position.line else self.source

    @classmethod
    def answered(cls, value: Any, source: str = "cluster") -> Self:
        """An object that an API server gave."""
        return cls(source, value, reader.Read(value, 0, lambda: Position(0)))


def read(names: Sequence[str], stdin: BinaryIO) -> tuple[Document, ...]:
    """All documents of what ``names`` names, Lists taken apart, in the order given (directories by name).

    A file that is named twice is read once. Raises BadInput with every problem of every file.
    """
    seen: set[str] = set()
    return parsed((_contents(name, stdin, seen) for name in names), ", ".join(names))


def parsed(contents: Iterable[Iterable[Content]], shown: str) -> tuple[Document, ...]:
    """All documents of what was read; ``shown`` names it for a message.

    Raises BadInput with every problem of every file.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for files in contents:
        try:
            for source, data, found in files:
                try:
                    documents += _parse(source, data, found)
                except BadInput as error:
                    problems += error.problems
        except BadInput as error:
            problems += error.problems
    if problems:
        raise BadInput(problems)
    if not documents:
        fix = f"give a file that holds some; of a directory those that end in {', '.join(sorted(SUFFIXES))} are read"
        raise BadInput([Problem(shown, 0, "", "", "no documents in there", fix)])
    return tuple(documents)


def _contents(name: str, stdin: BinaryIO, seen: set[str]) -> Iterator[Content]:
    """(name to show, content, met in a directory) of each file that ``name`` stands for."""
    if name == STDIN:
        if STDIN not in seen:
            seen.add(STDIN)
            yield "<stdin>", _bounded("<stdin>", stdin), False
        return
    try:
        directory = stat.S_ISDIR(os.stat(name).st_mode)
        for path in _files(Path(name)) if directory else (Path(name),):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            with path.open("rb") as file:
                yield str(path), _bounded(str(path), file), directory
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        shown = getattr(error, "filename", None) or name or "''"
        raise BadInput([Problem(str(shown), 0, "", "", f"cannot be read: {reason}")]) from error


def _files(directory: Path) -> Iterator[Path]:
    """The manifests below a directory, by name; hidden ones are left out (version control, mounted ConfigMaps)."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(directory, onerror=fail):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix.lower() in SUFFIXES and not file.startswith(".") and path.is_file():
                yield path


def _bounded(source: str, file: BinaryIO) -> bytes:
    data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise BadInput([Problem(source, 0, "", "", f"is larger than {MAX_FILE >> 20} MiB", "split it")])
    return data


def _parse(source: str, data: bytes, found: bool) -> list[Document]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(source, line, "", "", f"byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8")
        raise BadInput([problem]) from error
    try:
        read_documents = list(reader.documents(text, json_only=source.lower().endswith(".json")))
    except reader.Unreadable as error:
        raise BadInput([Problem(source, error.line, "", "", error.message, error.fix)]) from error
    documents = [each for one in read_documents for each in _items(Document(source, one.value, one, found))]
    too_large = [each for each in documents if _is_large(each)]
    if too_large:
        message = f"an object of more than {MAX_OBJECT >> 20} MiB, which no API server takes"
        raise BadInput([each.problem(message, "split it") for each in too_large])
    return documents


def _items(document: Document) -> Iterator[Document]:
    """The document itself, or the items of the List that it is."""
    value = document.value
    if not isinstance(value, dict) or not str(value.get("kind", "")).endswith("List"):
        yield document
        return
    items = value.get("items")
    if items is None and value.get("kind") != "List":
        yield document
        return
    if not isinstance(items, list):
        raise BadInput([document.problem("is no list", "give the objects as a list", field="items")])
    for index, item in enumerate(items):
        filled = item
        if isinstance(item, dict) and value["kind"] != "List" and "kind" not in item:
            filled = {"apiVersion": value.get("apiVersion"), "kind": value["kind"].removesuffix("List"), **item}
        yield from _items(
            Document(document.source, filled, document.read, document.found, (*document.path, "items", index))
        )


def _is_large(document: Document) -> bool:
    """Whether the object alone is too large; nothing is measured while its whole document is small enough."""
    return document.read.size > MAX_OBJECT and (not document.path or _length(document.value) > MAX_OBJECT)


def _length(value: Any) -> int:
    """About the characters that a value takes as JSON."""
    length, pending = 0, [value]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            length += sum(len(key) + 4 for key in each)
            pending.extend(each.values())
        elif isinstance(each, list):
            length += 2 + len(each)
            pending.extend(each)
        else:
            length += len(str(each)) + 2
    return length
