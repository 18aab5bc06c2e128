"""What a person reads of a run: a line per ground, and a table of what went against the judge."""

from collections.abc import Sequence

from e2e.enforcer.model import Protocol
from e2e.netpol.run import Outcome

ROWS = 40
"""Disagreements shown a ground; one mistake makes hundreds."""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with columns as wide as they need to be; columns of numbers are aligned to the right."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    numeric = [all(cell.replace(".", "", 1).isdigit() for cell in column[1:]) for column in columns]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the counts of every ground; ``late`` are steps not in force 0.2 s after the API server had them."""
    probed = [f"{each} probes" for each in Protocol]
    head = ["ground", "cases", "steps", *probed, "open", "closed", "late", "wrong", "seconds"]
    rows = []
    for each in outcomes:
        probes = [each.probes[one] for one in Protocol]
        closed = sum(probes) - each.allowed
        counts = [each.cases, each.steps, *probes, each.allowed, closed, each.late, len(each.disagreements)]
        rows.append([each.ground, *map(str, counts), f"{each.seconds:.1f}"])
    return table(head, rows)


def disagreements(outcome: Outcome) -> str:
    """Return what went against the judge on one ground, the first ROWS of it."""
    rows = []
    for each in outcome.disagreements[:ROWS]:
        probe = each.attempt
        what = f"{probe.port}/{probe.protocol}"
        did, should = ("passed", "closed") if each.passed else ("blocked", "open")
        rows.append([each.case[:60], str(each.step), probe.source, probe.destination, what, did, should])
    head = ["case", "step", "from", "to", "port", "was", "judge says"]
    text = f"{outcome.ground}:\n{table(head, rows)}"
    left = len(outcome.disagreements) - len(rows)
    return f"{text}\n... and {left} more" if left else text
