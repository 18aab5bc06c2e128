"""Violations as a person reads them: what is wrong, where, how to mend it, and who asked."""

from collections.abc import Iterable, Sequence
from typing import Final

from ringfence.model.verdict import Violation

#: A pod may have ten thousand containers; nobody reads as many lines.
SHOWN: Final = 20


def sentence(violation: Violation, room: int | None = None) -> str:
    """``<field> <what it is>: <what to do> [<control>, asked by <policy>]``.

    Where that has more than ``room`` characters, what to do is cut first: who asked, and for what, is kept.
    """
    said, asked = f"{violation.field} {violation.message}: {violation.fix}", f" [{source(violation)}]"
    if room is not None and len(said) + len(asked) > room:
        said = f"{said[: max(room - len(asked) - 1, 0)]}…"
    return said + asked


def source(violation: Violation) -> str:
    """``<control> (<Kubernetes' reason>), asked by <policy>, <level>:<version>``, as much of it as there is."""
    reason = f" ({violation.reason})" if violation.reason not in {"", violation.control} else ""
    asker = f", asked by {violation.policy}" if violation.policy else ""
    standard = f", {violation.standard}" if violation.standard else ""
    return f"{violation.control}{reason}{asker}{standard}"


def sentences(violations: Sequence[Violation], lead: str = "", longest: int | None = None) -> tuple[str, ...]:
    """One for each, after ``lead``, of at most ``longest`` characters; beyond SHOWN only how many more there are."""
    room = None if longest is None else longest - len(lead)
    shown = tuple(f"{lead}{sentence(each, room)}" for each in violations[:SHOWN])
    more = len(violations) - len(shown)
    return (*shown, f"{lead}and {more} more") if more > 0 else shown


def refusal(what: str, violations: Sequence[Violation]) -> str:
    """The message that whoever sent the object gets."""
    count = len(violations)
    head = f"Ringfence refuses {what}"
    if count == 1:
        return f"{head}: {sentence(violations[0])}"
    return "\n".join((f"{head} for {count} reasons:", *(f"- {line}" for line in sentences(violations))))


def controls(violations: Iterable[Violation]) -> str:
    """The ids, sorted, each once: for logs, metrics and audit annotations."""
    return ",".join(sorted({each.control for each in violations}))
