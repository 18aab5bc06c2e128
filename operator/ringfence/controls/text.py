"""Violations as a person reads them: what is wrong, where, how to mend it, and who asked."""

from collections.abc import Iterable, Sequence
from typing import Final

from ringfence.model.verdict import Violation

#: A pod may have ten thousand containers; nobody reads as many lines.
SHOWN: Final = 20


def sentence(violation: Violation) -> str:
    """``<field> <what it is>: <what to do> [<control>, asked by <policy>]``."""
    return f"{violation.field} {violation.message}: {violation.fix} [{source(violation)}]"


def source(violation: Violation) -> str:
    """``<control> (<Kubernetes' reason>), asked by <policy>, <level>:<version>``, as much of it as there is."""
    reason = f" ({violation.reason})" if violation.reason not in {"", violation.control} else ""
    asker = f", asked by {violation.policy}" if violation.policy else ""
    standard = f", {violation.standard}" if violation.standard else ""
    return f"{violation.control}{reason}{asker}{standard}"


def sentences(violations: Sequence[Violation]) -> tuple[str, ...]:
    """One for each; beyond SHOWN only how many more there are."""
    shown = tuple(sentence(each) for each in violations[:SHOWN])
    more = len(violations) - len(shown)
    return (*shown, f"and {more} more") if more > 0 else shown


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
