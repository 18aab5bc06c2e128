"""What is wrong with an input, as data: every error names the field, says what is wrong and how to mend it."""

from dataclasses import dataclass


class RingfenceError(Exception):
    """Root of the errors that Ringfence raises on purpose; anything else is a defect."""


@dataclass(frozen=True, slots=True, order=True)
class FieldError:
    """One thing wrong with one field.

    ``path`` is written as kubectl writes it (``spec.ingress[0].from``), ``message`` says what is wrong with the
    value, ``fix`` what to write instead (may be empty when the message already says it).
    """

    path: str
    message: str
    fix: str = ""

    def __str__(self) -> str:
        tail = f" ({self.fix})" if self.fix else ""
        return f"{self.path}: {self.message}{tail}"


class InvalidResource(RingfenceError):
    """A resource that cannot be understood; ``errors`` holds every FieldError found, sorted by path, never empty."""

    def __init__(self, kind: str, name: str, errors: tuple[FieldError, ...]) -> None:
        self.kind = kind
        self.name = name
        self.errors = tuple(sorted(errors))
        super().__init__(f"{kind} {name}: " + "; ".join(str(error) for error in self.errors))


class CannotTell(RingfenceError):
    """A question whose answer needs something that is not known; the message names it. Never means yes."""


class WriteRefused(RingfenceError):
    """The API server understood a write and said no to its content; the same write again would fail again."""
