"""The table for people; colours only where there is a terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from e2e.demo.attempts import Row

_WIDTH_OFF_TERMINAL = 160


def show(rows: Sequence[Row], console: Console | None = None) -> None:
    """Prints every row, then the messages that people see."""
    console = console or _console()
    for group, members in groupby(rows, key=lambda row: row.group):
        table = Table(title=escape(group), title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.add_column("attempt", min_width=34)
        table.add_column("the policy says", ratio=1)
        table.add_column("what happened", min_width=14)
        table.add_column("", min_width=8)
        listed = list(members)
        for row in listed:
            verdict = "[green]ok[/]" if row.as_said else "[bold red]SURPRISE[/]"
            table.add_row(escape(row.attempt), escape(row.says), escape(row.happened), verdict)
        console.print(table)
        for row in listed:
            if row.detail:
                console.print(Padding(f"[dim]{escape(row.attempt)}:[/]", (0, 0, 0, 2), expand=False))
                console.print(Padding(escape(row.detail), (0, 0, 0, 6), expand=False))
        console.print()


def summary(rows: Sequence[Row]) -> str:
    """One line."""
    surprises = [row for row in rows if not row.as_said]
    if not surprises:
        return f"{len(rows)} attempts, no surprise."
    listed = "; ".join(f"{row.attempt}: {row.happened}" for row in surprises)
    return f"{len(rows)} attempts, {len(surprises)} surprises: {listed}"


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH_OFF_TERMINAL)
