"""`ringfence diff`: which calls become allowed and which become denied by a change of policies. Nothing else counts."""

import argparse
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from ringfence.cli import compared, differing, options
from ringfence.cli.console import COMMON, Cell, Console, Output, Style
from ringfence.cli.differing import Limited, Line, Told

SAME_OR_NARROWER: Final = 0
WIDER: Final = 1

#: Names of ends that a line shows; programs get them all.
MANY: Final = 8

_DESCRIPTION = """
Say exactly which calls become allowed and which become denied between OLD and NEW: from whom, to whom, on which ports;
and which limits, sizes, timeouts and changes of headers become others.
It compares what policies mean, not how they are written: other names, another order, rules split or joined are the
same.

OLD and NEW are each a file, a directory, REVISION:PATH of the git repository here, `cluster` for the live one, or
cluster:CONTEXT for that of a context of the kubeconfig. With a cluster on one side files on the other are laid over it:
what the cluster would be with these files. What -f names belongs to files on both sides. Pods of either side, and those
that could be there, are judged by the policies of both.
"""
_EXAMPLES = """
  {prog} diff policies/ proposed/                        # two directories
  {prog} diff main:policies HEAD:policies -f cluster/    # two revisions, with the namespaces that both rest on
  {prog} diff origin/main:deploy deploy -o markdown      # what a pull request does, for a comment
  {prog} diff cluster policies/                          # what applying the files would change

exit status: 0 nothing becomes allowed (the same, or narrower), 1 something becomes allowed, or a limit is looser or
gone, 2 cannot tell
"""
SIGNS: Final = {"gained": Cell("+ ", Style.CAUTION), "lost": Cell("- ", Style.GOOD)}
#: What changes and is no wider nor narrower access.
_OTHERWISE: Final = Cell("~ ", Style.PLAIN)
_TITLES: Final = {"gained": "Becomes allowed", "lost": "Becomes denied"}


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(
        subparsers, "diff", "say which calls a change of policies allows or denies", _DESCRIPTION, _EXAMPLES
    )
    parser.add_argument("old", metavar="OLD", help="policies as they are")
    parser.add_argument("new", metavar="NEW", help="policies as they would be")
    parser.add_argument(
        "--audit", action="store_true", help="as if every policy and enrolment in audit mode were enforced"
    )
    options.files(parser, "what belongs to both: namespaces, identities, workloads, policies that stay")
    options.cluster(parser)
    options.output(parser, (*COMMON, Output.MARKDOWN))
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Compare and tell."""
    both = compared.read(arguments, console)
    told = differing.told(both)
    match console.output:
        case Output.TEXT:
            _text(told, console)
        case Output.MARKDOWN:
            console.document("\n".join(_markdown(told, arguments.old, arguments.new)) + "\n")
        case _:
            console.data(_data(told))
    return WIDER if told.wider else SAME_OR_NARROWER


def summary(told: Told) -> str:
    """The answer in a sentence."""
    if told.wider:
        return "access is wider"
    narrower = told.lost or told.transport or told.gone or any(each.tighter for each in told.traffic)
    return "access is narrower" if narrower else "access is the same"


# --- for people ------------------------------------------------------------------------------------------------------


def _text(told: Told, console: Console) -> None:
    console.print(Cell(summary(told), Style.BAD if told.wider else Style.GOOD))
    for name, lines in (("gained", told.gained), ("lost", told.lost)):
        if lines:
            console.print("")
            console.print(Cell(f"{_TITLES[name]}:", Style.STRONG))
        for line in lines:
            console.print(SIGNS[name], f"{some(line.sources)} -> {some(line.targets)}")
            for requests in line.requests:
                console.print(f"    {requests}")
            console.print(f"    before: {line.before.text}")
            console.print(f"    now:    {line.now.text}")
    if told.transport:
        console.print("")
        console.print(Cell("Transport:", Style.STRONG))
    for each in told.transport:
        sign = SIGNS["gained" if each.wider else "lost"]
        console.print(sign, f"{some(each.pods)}: {each.before} becomes {each.after}")
    if told.traffic:
        console.print("")
        console.print(Cell("Limits:", Style.STRONG))
    for where, limits in groupby(told.traffic, key=where_held):
        console.print(f"  {where}")
        for limit in limits:
            console.print("    ", mark(limit), limit.text)
    if told.gone:
        console.print("")
        console.print(Cell("No longer there: ", Style.STRONG), f"namespaces {', '.join(told.gone)}")


def where_held(limit: Limited) -> str:
    """The pods and ports of which something is asked."""
    return f"{some(limit.pods)} on {', '.join(limit.ports)}"


def mark(limit: Limited) -> Cell:
    """Whether more may come, or less; neither where a header is set to another value."""
    if limit.looser:
        return SIGNS["gained"] if limit.wider else _OTHERWISE
    return SIGNS["lost"] if limit.tighter else _OTHERWISE


def some(names: tuple[str, ...]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return ", ".join(names[:MANY]) + more


# --- for a pull request ----------------------------------------------------------------------------------------------


def _markdown(told: Told, old: str, new: str) -> Iterator[str]:
    yield f"### Ringfence: {summary(told)}"
    yield ""
    yield f"{_code(old)} to {_code(new)}"
    for name, lines in (("gained", told.gained), ("lost", told.lost)):
        if not lines:
            continue
        yield ""
        yield f"#### {_TITLES[name]}"
        yield ""
        yield "| From | To | Calls | Before | Now |"
        yield "|---|---|---|---|---|"
        for line in lines:
            yield _row(line)
    if told.transport:
        yield ""
        yield "#### Transport"
        yield ""
    for each in told.transport:
        yield f"- {_escaped(some(each.pods))}: {each.before} becomes {each.after}{' (**wider**)' if each.wider else ''}"
    if told.traffic:
        yield ""
        yield "#### Limits"
        yield ""
    for limit in told.traffic:
        yield f"- {_escaped(where_held(limit))}: {_escaped(limit.text)}{' (**wider**)' if limit.wider else ''}"
    if told.gone:
        yield ""
        yield f"No longer there: namespaces {_escaped(', '.join(told.gone))}"


def _row(line: Line) -> str:
    calls = "<br>".join(map(_escaped, line.requests))
    ends = (some(line.sources), some(line.targets))
    sources, targets, before, now = map(_escaped, (*ends, line.before.text, line.now.text))
    return f"| {sources} | {targets} | {calls} | {before} | {now} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: names come from whoever wrote the files."""
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>()#+!|~@" else char for char in text.replace("\n", " "))


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`"


# --- for programs ----------------------------------------------------------------------------------------------------


def _data(told: Told) -> dict[str, Any]:
    return {
        "wider": told.wider,
        "summary": summary(told),
        "gained": [line_data(line) for line in told.gained],
        "lost": [line_data(line) for line in told.lost],
        "transport": [
            {"of": list(each.pods), "before": each.before, "now": each.after, "wider": each.wider}
            for each in told.transport
        ],
        "traffic": [limit_data(each) for each in told.traffic],
        "gone": list(told.gone),
    }


def limit_data(limit: Limited, before: str = "before", now: str = "now") -> dict[str, Any]:
    """What is asked of pods, for programs; ``before`` and ``now`` are the names of the fields."""
    return {
        "of": list(limit.pods),
        "ports": list(limit.ports),
        "what": limit.what,
        before: limit.before,
        now: limit.after,
        "looser": limit.looser,
        "tighter": limit.tighter,
        "wider": limit.wider,
    }


def line_data(line: Line) -> dict[str, Any]:
    """A line for programs."""
    return {
        "from": list(line.sources),
        "to": list(line.targets),
        "requests": line.data,
        "before": line.before.data,
        "now": line.now.data,
    }
