"""Conditions by the Kubernetes API conventions: what is the matter, since when, and for which generation."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

#: The API's limit of a condition's message.
MAX_MESSAGE: Final = 32768


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition to be told. ``reason`` is CamelCase and stable, ``message`` for people."""

    type: str
    status: bool
    reason: str
    message: str

    def render(self, held: dict[str, Any] | None, now: float, generation: int | None) -> dict[str, Any]:
        """As the API has it; lastTransitionTime stays that of ``held`` unless the status differs.

        ``now`` is seconds since the epoch; ``generation`` None leaves observedGeneration out (Namespaces have none).
        """
        status = "True" if self.status else "False"
        since = held.get("lastTransitionTime") if held is not None and held.get("status") == status else None
        rendered = {
            "type": self.type,
            "status": status,
            "reason": self.reason,
            "message": _cut(self.message),
            "lastTransitionTime": since or timestamp(now),
        }
        if generation is not None:
            rendered["observedGeneration"] = generation
        return rendered


def find(conditions: Sequence[dict[str, Any]] | None, type_: str) -> dict[str, Any] | None:
    """The condition of that type, None when it is not there."""
    return next((each for each in conditions or () if each.get("type") == type_), None)


def timestamp(now: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, whole seconds, as metav1.Time writes it."""
    return datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 3] + "..."
