"""Shared by all tests: golden files, how many random examples the property tests try, lines for the end of a run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "ringfence",
    deadline=None,
    max_examples=int(os.environ.get("RINGFENCE_EXAMPLES", "100")),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("ringfence")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files instead of comparing")


class Golden:
    """Compares text with a file, or writes the file when asked to."""

    def __init__(self, update: bool) -> None:
        self._update = update

    def check(self, path: Path, text: str) -> None:
        """Fail unless ``path`` holds ``text``; with --update-golden write it. A missing file fails."""
        if self._update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        assert path.exists(), f"{path} is missing: run `make golden` and read what it wrote"
        assert path.read_text() == text, f"{path} differs: run `make golden` and read the diff"


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Golden files of this run."""
    return Golden(bool(request.config.getoption("--update-golden")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long runs are for `make soak`, which asks for them by their marker."""
    if "soak" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


SUMMARY: pytest.StashKey[list[str]] = pytest.StashKey()


@pytest.fixture(scope="session")
def summary(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Adds a line to what is said at the end of the run: how many cases a judge was asked about."""
    return request.config.stash.setdefault(SUMMARY, []).append


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several (`-n`) leaves its lines to the one that prints."""
    left = getattr(session.config, "workeroutput", None)
    if left is not None:
        left["summary"] = session.config.stash.get(SUMMARY, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes what a process left."""
    node.config.stash.setdefault(SUMMARY, []).extend(getattr(node, "workeroutput", {}).get("summary", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)
    ended = {how: _attacks(terminalreporter, how) for how in ("passed", "failed", "error")}
    if any(ended.values()):
        terminalreporter.write_line(f"attacks: {', '.join(f'{count} {how}' for how, count in ended.items())}")


def _attacks(terminalreporter: pytest.TerminalReporter, how: str) -> int:
    """How many of the tests of attacks ended so."""
    found = (each.nodeid for each in terminalreporter.stats.get(how, ()) if hasattr(each, "nodeid"))
    return sum(name.startswith("tests/component/") and "attacks" in name for name in found)
