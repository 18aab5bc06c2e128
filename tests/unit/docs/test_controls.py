"""The page about Pod Security lists every control as the registry has it; `make golden` writes the table anew."""

from pathlib import Path
from typing import Any

from ringfence.controls import registry
from ringfence.controls.control import Control

PAGE = Path(__file__).parents[3] / "docs" / "pod-security.md"
HEADING = "| control | level | check (reason) | what must hold | since, and what changed |\n|---|---|---|---|---|\n"


def row(control: Control) -> str:
    mark = " †" if control.id in registry.CLOSED else ""
    instead = f" (in place of `{control.supersedes}`)" if control.supersedes else ""
    check = f"`{control.kubernetes}` ({control.reason})"
    history = history_of(control)
    return f"| `{control.id}`{mark} | {control.level} | {check} | {control.title}{instead} | {history} |\n"


def history_of(control: Control) -> str:
    """``1.8; 1.25 leaves pods for Windows alone``."""
    since = [*(each.since for each in control.before), control.since]
    changes = [f"1.{version} {each.then}" for each, version in zip(control.before, since[1:], strict=True)]
    return "; ".join([f"1.{since[0]}", *changes])


def test_the_table_is_the_registry(golden: Any) -> None:
    introduction, _, _ = PAGE.read_text().partition(HEADING)
    ours = (control for control in registry.CONTROLS if control.kubernetes)
    golden.check(PAGE, introduction + HEADING + "".join(map(row, ours)))
