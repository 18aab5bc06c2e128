"""The shape of a control: an id that never changes, the level that asks for it, and a pure check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ringfence.controls.pod import Subject
from ringfence.model.resources import PodSecurityLevel


@dataclass(frozen=True, slots=True)
class Found:
    """One field that breaks a control: what it is now (``message``) and what to write instead (``fix``)."""

    field: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that a pod must satisfy.

    ``id`` is stable: exceptions, metrics and reports name it. ``level`` is the lowest Pod Security level that asks
    for it. ``supersedes`` is the weaker control that says nothing more where this one is in force.
    """

    id: str
    level: PodSecurityLevel
    title: str
    check: Callable[[Subject], Iterable[Found]]
    supersedes: str = ""


def quoted(values: Iterable[str]) -> str:
    """Names as a message shows them: sorted, each quoted, so that look-alike and odd characters are seen."""
    return ", ".join(ascii(value).replace("'", '"') for value in sorted(set(values)))


def container(name: str) -> str:
    """A container as a message names it."""
    return f"container {quoted([name])}"
