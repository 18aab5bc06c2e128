"""`ringfence graph`: who may call whom as a picture, and what has changed."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ringfence.cli import inputs, options, world
from ringfence.cli.compared import Reader
from ringfence.cli.console import Console
from ringfence.cli.drawing import dot, layout, svg
from ringfence.cli.drawing.plan import plan
from ringfence.cli.problems import BadInput, Problem
from ringfence.model.world import Installation, World
from ringfence.policy.graph import collapse
from ringfence.policy.graph.model import By, Graph

_DESCRIPTION = """
Draw who may call whom: zones and namespaces as boxes with the identities inside, an arrow for every call that is
allowed, with its ports, and a mark where it crosses the boundary of a zone. Where a whole namespace, a zone or anyone
may call, one arrow says so. Pods are those that are described; what is always open (DNS) is left out, and so is what
may call anything that is open.

More than 60 identities are drawn as namespaces, more than 60 namespaces as zones, unless --by says otherwise.
"""
_EXAMPLES = """
  {prog} graph -f examples/shop -o shop.svg
  {prog} graph -f new -o change.svg --diff old       # what came (green) and what went (red)
  {prog} graph -f policies -o change.svg --diff main:policies        # since the branch main of git
  {prog} graph -f examples/shop -o shop.json         # for programs
  {prog} graph -o cluster.svg --by namespace         # the cluster as it is

exit status: 0 drawn, 2 it cannot be (input that cannot be used, no Graphviz)
"""
_OLD: Final = "mark changes since this file, directory or REVISION:PATH; may be repeated"
FORMATS: Final = ("svg", "dot", "json")


def add(subparsers: options.Subparsers) -> None:
    """Define the command."""
    parser = options.command(subparsers, "graph", "draw who may call whom", _DESCRIPTION, _EXAMPLES)
    parser.add_argument(
        "-o", "--out", metavar="FILE", default="-", help="ends in .svg, .dot or .json; default: SVG to standard output"
    )
    parser.add_argument("--diff", action="append", default=[], metavar="OLD", help=_OLD)
    choices = [str(each) for each in By]
    parser.add_argument("--by", choices=choices, help="what a box stands for; default: what is legible")
    parser.add_argument("--title", default="Who may call whom", help="default: %(default)s")
    options.files(parser, "policies, identities, namespaces and workloads; without it, those of the cluster")
    options.cluster(parser)
    options.verbosity(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Draw."""
    format_ = _format(arguments.out)
    loaded, found = inputs.load(arguments, console)
    inputs.must_be_readable(loaded, loaded.world.namespaces)
    by = By(arguments.by) if arguments.by else collapse.readable(loaded.world)
    new = loaded.world, inputs.effective(loaded.world)
    if arguments.diff:
        old = _old(arguments, found.installation, console)
        graph = collapse.changed((old, inputs.effective(old)), new, by)
    else:
        graph = collapse.of(*new, by)
    text = _written(graph, format_, arguments.title)
    if arguments.out == "-":
        console.document(text)
        return 0
    try:
        Path(arguments.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput([Problem(arguments.out, 0, "", "", f"cannot be written: {error.strerror or error}")]) from error
    console.note(f"wrote {arguments.out}: {plan(graph, arguments.title).about}")
    return 0


def _old(arguments: argparse.Namespace, installation: Installation, console: Console) -> World:
    """What the policies were; raises BadInput."""
    files = Reader(arguments, console).files(arguments.diff)
    return world.load(files, installation, default_namespace=arguments.namespace).world


def _format(path: str) -> str:
    if path == "-":
        return "svg"
    suffix = Path(path).suffix.removeprefix(".").lower()
    if suffix not in FORMATS:
        wrong = f"{path} ends in no format that is known"
        fix = "end it in .svg, .dot or .json; `rsvg-convert` makes a PNG of SVG"
        raise BadInput([Problem("", 0, "", "-o", wrong, fix)])
    return suffix


def _written(graph: Graph, format_: str, title: str) -> str:
    if format_ == "json":
        return _json(graph)
    planned = plan(graph, title)
    return dot.source(planned) if format_ == "dot" else svg.drawn(planned, layout.of(planned))


def _json(graph: Graph) -> str:
    """The graph for programs."""
    value: dict[str, Any] = {
        "by": str(graph.by),
        "nodes": [asdict(node) for node in graph.nodes],
        "edges": [asdict(edge) for edge in graph.edges],
    }
    return json.dumps(value, indent=2) + "\n"
