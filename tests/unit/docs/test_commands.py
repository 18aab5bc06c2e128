"""What the documentation says to type works, and prints what it says."""

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ringfence.cli import main

REPOSITORY = Path(__file__).parents[3]
PAGES = sorted(
    [*(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md", *(REPOSITORY / "examples").glob("**/*.md")]
)
#: What has to be filled in, or is a form of the command and no command.
_PLACE = re.compile(r"[\[\]…|<>$]|\b[A-Z]{2,}\b|\.\.\.")


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it, and what it is said to print."""

    page: str
    line: int
    words: tuple[str, ...]
    output: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def commands() -> Iterator[Shown]:
    for page in PAGES:
        lines = page.read_text().splitlines()
        for number, line in enumerate(lines):
            found = re.match(r"( *)\$ ringfence (.+)", line)
            if found:
                indent, text = found.groups()
                output = "\n".join(following(lines[number + 1 :], indent))
                words = tuple(shlex.split(text, comments=True))
                yield Shown(str(page.relative_to(REPOSITORY)), number + 1, words, output.rstrip())


def following(lines: list[str], indent: str) -> Iterator[str]:
    """The rest of a block of code: what is indented as far, or (in a fence) all up to its end; or the next command."""
    for line in lines:
        inside = line.removeprefix(indent)
        if inside.startswith(("$ ", "```")) or (line.strip() and not line.startswith(indent)):
            return
        yield inside


def can_run(shown: Shown) -> bool:
    """Whether all that a command reads is here."""
    reads = [word for word in shown.words if "/" in word and word.startswith("examples/")]
    files = [shown.words[n + 1] for n, word in enumerate(shown.words[:-1]) if word in {"-f", "--flows"}]
    return bool(reads) and all((REPOSITORY / file).exists() for file in files)


RUN = [each for each in commands() if can_run(each)]


@pytest.mark.parametrize("shown", RUN, ids=str)
def test_a_command_prints_what_the_page_says(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    words = [str(tmp_path / word) if word.endswith(".svg") else word for word in shown.words]
    status = main.main(words, {})
    said = capsys.readouterr()
    # Of many ends some may and some may not: then the table is the answer, and the status 2 says that they differ.
    assert status in {0, 1} or (status == 2 and said.out), said.err
    if shown.output:
        assert said.out.rstrip() == shown.output


def test_pages_show_commands_with_their_answers() -> None:
    assert len([each for each in RUN if each.output]) > 6


def lines_of_code() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, line in enumerate(page.read_text().splitlines()):
            found = re.match(r"(?:    |\$ )+\$? ?(?:kubectl )?ringfence ([a-z-]+ .+|[a-z-]+)$", line)
            if found and not _PLACE.search(found[1].partition("  #")[0]):
                yield f"{page.name}:{number + 1}", found[1]


@pytest.mark.parametrize(("place", "text"), list(lines_of_code()))
def test_a_line_of_code_is_a_command_line(place: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(parser: argparse.ArgumentParser, message: str) -> None:
        raise AssertionError(f"{place}: {message}")

    monkeypatch.setattr(argparse.ArgumentParser, "error", refuse)
    main.parser("ringfence").parse_args(shlex.split(text.partition(" | ")[0].partition(" > ")[0], comments=True))


def anchors(page: Path) -> set[str]:
    """The places in a page that links can name, as GitHub makes them of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_headings_that_are_there() -> None:
    broken = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
            there = (page.parent / target).resolve() if target else page
            if there.suffix == ".md" and (not there.exists() or anchor not in anchors(there)):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert broken == []
