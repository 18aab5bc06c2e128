"""Ask Kubernetes' Pod Security policies from Python: what does this pod break, at this level and version?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e import podsecurity
from e2e.goprogram.lines import Conversation

Manifest = Mapping[str, Any]
"""A Pod as a mapping, as JSON or YAML gives it."""


@dataclass(frozen=True, slots=True)
class Standard:
    """A level and a version: ``minor`` is N of Kubernetes 1.N, None for the newest."""

    level: str
    minor: int | None = None

    @property
    def version(self) -> str:
        """The version as Kubernetes' labels write it."""
        return "latest" if self.minor is None else f"v1.{self.minor}"

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"


@dataclass(frozen=True, slots=True)
class Broken:
    """A check that a pod does not pass: its id, why in a few words, and the whole sentence."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Check:
    """A check: since which minor versions it has which form, and which checks each form overrides."""

    id: str
    level: str
    since: tuple[int, ...]
    overrides: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What Pod Security admission as a whole answers."""

    allowed: bool
    message: str


class Judge(Conversation):
    """The judge's process, for a ``with`` statement. Safe to share between threads; builds the program on first use."""

    def __init__(self) -> None:
        """Start nothing yet."""
        super().__init__(podsecurity.judge)

    def checks(self) -> tuple[Check, ...]:
        """Return every check that Kubernetes has."""
        return tuple(
            Check(each["id"], each["level"], tuple(each["since"]), tuple(map(tuple, each["overrides"])))
            for each in self._ask("checks")
        )

    def evaluate(self, standards: Sequence[Standard], pods: Iterable[Manifest]) -> list[list[tuple[Broken, ...]]]:
        """Return, for every standard and then every pod, what the pod breaks. Raises JudgeError.

        The pods are completed as an API server does it (``completed``).
        """
        asked = [{"level": each.level, "version": each.version} for each in standards]
        return [
            [tuple(Broken(**each) for each in found) for found in per_pod]
            for per_pod in self._ask("evaluate", standards=asked, pods=[completed(pod) for pod in pods])
        ]

    def admit(self, standard: Standard, new: Manifest, old: Manifest | None = None) -> Decision:
        """Return what Pod Security admission says of a new pod, or of a change to one. Raises JudgeError."""
        asked = {"level": standard.level, "version": standard.version}
        before = completed(old) if old is not None else None
        return Decision(**self._ask("update", standard=asked, new=completed(new), old=before))


def completed(pod: Manifest) -> Manifest:
    """The pod as the policies see it: an API server makes a volume without a source an emptyDir before it asks them.

    It is the only one of its defaults that a policy depends on.
    """
    volumes = pod["spec"].get("volumes") or []
    whole = [each if _has_source(each) else {**each, "emptyDir": {}} for each in volumes]
    return {**pod, "spec": {**pod["spec"], "volumes": whole}}


def _has_source(volume: Mapping[str, Any]) -> bool:
    return any(value is not None for key, value in volume.items() if key != "name")
