"""One table for all measurements: what was measured, the figure, the goal, and whether it was met."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``met`` is None where there is no goal (a figure to compare with, such as a ratio's base)."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


def machine() -> str:
    """The machine in one line: processor, cores, memory, Python."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    kib = int(Path("/proc/meminfo").read_text().split("MemTotal:")[1].split()[0])
    name = names[0] if names else platform.machine()
    return f"{name}, {len(names)} cores, {kib / 2**20:.0f} GiB, Python {platform.python_version()}"


def show(title: str, rows: Iterable[Row]) -> None:
    """Print the rows under a title."""
    table = Table(title=title, title_justify="left", show_lines=False)
    for heading in ("what", "measured", "goal", ""):
        table.add_column(heading, overflow="fold")
    for row in rows:
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, row.measured, row.goal, mark)
    Console(width=120).print(table)
