"""The shape of a control: an id that never changes, the level that asks for it, and a pure check."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from ringfence.controls.pod import Subject
from ringfence.model.demands import ControlId
from ringfence.model.resources import PodSecurityLevel

#: Longer values are cut in messages, in characters.
SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Found:
    """One field that breaks a control: what it is now (``message``) and what to write instead (``fix``)."""

    field: str
    message: str
    fix: str


Check = Callable[[Subject], Iterable[Found]]


@dataclass(frozen=True, slots=True)
class Revision:
    """How a control judged from Kubernetes 1.``since`` on; ``then`` is what the form after it changed."""

    since: int
    check: Check
    then: str


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that a pod must satisfy.

    ``id`` is stable: exceptions, metrics and reports name it. ``level`` is the lowest Pod Security level that asks
    for it. ``supersedes`` is the weaker control that says nothing more where this one is in force. ``kubernetes`` is
    the id of the same check in Kubernetes' own Pod Security admission and ``reason`` what that says of a pod; "" for a
    control that is not of the Pod Security Standards. ``check`` judges since Kubernetes 1.``since``; ``before`` are
    the forms that it had earlier, oldest first.
    """

    id: str
    level: PodSecurityLevel
    title: str
    check: Check
    supersedes: str = ""
    kubernetes: str = ""
    reason: str = ""
    since: int = 0
    before: tuple[Revision, ...] = ()

    def at(self, version: int | None) -> Self | None:
        """The control as Kubernetes 1.``version`` had it, None where it had none yet; None for the newest."""
        if version is None or version >= self.since:
            return self
        for revision in reversed(self.before):
            if version >= revision.since:
                return replace(self, check=revision.check, since=revision.since, before=())
        return None


@dataclass(frozen=True, slots=True)
class PolicyControl:
    """One thing that a pod must satisfy where a policy says so.

    ``prepare`` makes the check from what the policy says (registries, names of resources; nothing for a switch), once
    for each policy, so that a review pays for the looking only. ``supersedes`` is the weaker control that says nothing
    more where this one is asked for.
    """

    id: ControlId
    title: str
    prepare: Callable[[tuple[str, ...]], Check]
    supersedes: str = ""


def switch(check: Check) -> Callable[[tuple[str, ...]], Check]:
    """``prepare`` of a control to which a policy can say nothing but that it wants it."""
    return lambda _: check


def shown(value: str) -> str:
    """A value as a message shows it: quoted, and cut when nobody would read it to its end."""
    return quoted([value]) if len(value) <= SHOWN else f"{quoted([value[:SHOWN]])} (and {len(value) - SHOWN} more)"


def quoted(values: Iterable[str]) -> str:
    """Names as a message shows them: sorted, each quoted, so that look-alike and odd characters are seen."""
    return ", ".join(ascii(value).replace("'", '"') for value in sorted(set(values)))


def container(name: str) -> str:
    """A container as a message names it."""
    return f"container {quoted([name])}"
