"""What is wrong with what the user gave, with the file and the line; the reason for exit status 2."""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.model.errors import RingfenceError


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to mend. ``line`` counts from 1, 0 when the whole file (or no file) is meant.

    ``subject`` is the resource (``SecurityPolicy shop/payments``), ``field`` its field; each may be empty.
    """

    source: str
    line: int
    subject: str
    field: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        parts = [part for part in (where, self.subject) if part]
        text = f"{self.field} {self.message}" if self.field else self.message
        tail = f" ({self.fix})" if self.fix else ""
        return ": ".join([*parts, text]) + tail


class BadInput(RingfenceError):
    """Input that cannot be used; ``problems`` holds all that was found, sorted, never empty."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Usage(RingfenceError):
    """A command line that does not say what to do; the message says how."""
