"""Reading the part of the Dockerfile language that this repository uses.

Anything else is an error that names the line: a word that this reader passed over in silence would make an image that
differs from Docker's.

Language: https://docs.docker.com/reference/dockerfile/
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_STAGE = re.compile(r"(?P<image>\S+)(?:\s+[Aa][Ss]\s+(?P<name>[a-z][a-z0-9_.-]*))?")
_VERBS = ("FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "ENTRYPOINT", "CMD", "LABEL")


class DockerfileError(ValueError):
    """A line that cannot be read or is not supported; the message begins with its number."""


@dataclass(frozen=True, slots=True)
class From:
    """A stage's base: another stage, `scratch`, or an image by its name."""

    image: str


@dataclass(frozen=True, slots=True)
class Run:
    """A shell command."""

    command: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Files from the context, or from an earlier stage."""

    sources: tuple[str, ...]
    target: str
    stage: str | None


@dataclass(frozen=True, slots=True)
class Setting:
    """An instruction that changes no file: ENV, WORKDIR, USER, ENTRYPOINT, CMD or LABEL."""

    verb: str
    values: tuple[str, ...]


Instruction = Run | Copy | Setting


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage: its name, if it has one, its base and its instructions."""

    name: str | None
    base: From
    instructions: tuple[Instruction, ...]


def parse(text: str) -> tuple[Stage, ...]:
    """The stages in order; the last is the image. Raises DockerfileError."""
    stages: list[Stage] = []
    for number, line in _logical_lines(text):
        verb, _, rest = line.partition(" ")
        verb, rest = verb.upper(), rest.strip()
        if verb not in _VERBS or not rest:
            raise DockerfileError(f"line {number}: {line.split()[0]} is not supported; use one of {', '.join(_VERBS)}")
        if verb == "FROM":
            stages.append(_stage(number, rest))
        elif not stages:
            raise DockerfileError(f"line {number}: {verb} before the first FROM")
        else:
            last = stages[-1]
            stages[-1] = Stage(last.name, last.base, (*last.instructions, _instruction(number, verb, rest)))
    if not stages:
        raise DockerfileError("line 1: there is no FROM")
    return tuple(stages)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their continuations joined and comments left out, each with the number of its first."""
    parts: list[str] = []
    first = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#") or (not line and not parts):
            continue
        first = first if parts else number
        parts.append(line.removesuffix("\\").rstrip())
        if not line.endswith("\\"):
            yield first, " ".join(part for part in parts if part)
            parts = []
    if parts:
        raise DockerfileError(f"line {first}: the file ends in the middle of this instruction")


def _stage(number: int, rest: str) -> Stage:
    match = _STAGE.fullmatch(rest)
    if match is None:
        raise DockerfileError(
            f"line {number}: FROM takes an image or a stage and, optionally, AS and a name; got {rest}"
        )
    return Stage(match["name"], From(match["image"]), ())


def _instruction(number: int, verb: str, rest: str) -> Instruction:
    if verb == "RUN":
        if rest.startswith(("[", "--", "<<")):
            raise DockerfileError(f"line {number}: RUN takes a plain shell command here, without options")
        return Run(rest)
    if verb == "COPY":
        return _copy(number, rest)
    if verb in ("ENTRYPOINT", "CMD"):
        return Setting(verb, _json_list(number, verb, rest))
    if verb in ("ENV", "LABEL"):
        return Setting(verb, _pairs(number, verb, rest))
    return Setting(verb, (rest,))


def _copy(number: int, rest: str) -> Copy:
    words = rest.split()
    stage = None
    if words[0].startswith("--from="):
        stage = words.pop(0).removeprefix("--from=")
    if len(words) < 2 or any(re.search(r"[*?\[\]<\"'$]|^--", word) for word in words):
        raise DockerfileError(
            f"line {number}: COPY takes [--from=STAGE] SOURCE... TARGET, without patterns; got {rest}"
        )
    *sources, target = words
    if not target.startswith("/") or not target.endswith("/"):
        raise DockerfileError(
            f"line {number}: COPY's target must be a directory from the root, as /name/; got {target}"
        )
    return Copy(tuple(sources), target, stage)


def _json_list(number: int, verb: str, rest: str) -> tuple[str, ...]:
    try:
        value = json.loads(rest)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise DockerfileError(f'line {number}: {verb} takes a JSON list, as ["program", "argument"]; got {rest}')
    return tuple(value)


def _pairs(number: int, verb: str, rest: str) -> tuple[str, ...]:
    words = shlex.split(rest)
    if not all("=" in word for word in words) or "$" in rest:
        raise DockerfileError(f"line {number}: {verb} takes NAME=value pairs without variables; got {rest}")
    return tuple(words)
