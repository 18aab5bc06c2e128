"""The table of attacks names tests that exist, every test of attacks, and says what comes of each."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "attacks.md"
OUTCOMES = {"refused", "neutral", "held", "known", "not yet"}


def rows() -> list[tuple[str, str, str]]:
    """Attack, outcome and what the last column says, of every table."""
    lines = (line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("|"))
    cells = [tuple(cell.strip() for cell in line) for line in lines]
    return [(one, two, three) for one, two, three in cells if one not in {"attack", "---"}]


def named(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+\.py::[^`]+)`", text))


def ids_of(path: Path) -> set[str]:
    """The ids of a file's tests, without parameters."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {
            f"{path.relative_to(REPOSITORY)}::{prefix}{each.name}"
            for each in inside
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name.startswith("test_")
        }
    return found


def test_every_test_that_is_named_exists() -> None:
    ids = {each for _, _, tests in rows() for each in named(tests)}
    files = {REPOSITORY / each.partition("::")[0] for each in ids}
    known = {each for path in files if path.exists() for each in ids_of(path)}
    assert sorted(ids - known) == []


def test_every_attack_has_an_outcome_and_a_test_or_none_yet() -> None:
    found = rows()
    assert len(found) > 50
    for attack, outcome, tests in found:
        assert outcome in OUTCOMES, attack
        assert bool(named(tests)) == (outcome != "not yet"), attack


def test_no_test_of_attacks_is_forgotten() -> None:
    ids = {each for _, _, tests in rows() for each in named(tests)}
    tried = {each for path in (REPOSITORY / "tests/component").glob("test_attacks_*.py") for each in ids_of(path)}
    assert tried
    assert sorted(tried - ids) == []
