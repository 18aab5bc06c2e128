"""What the commands have in common: where to read, which cluster, how to answer; and help that shows examples."""

import argparse
import difflib
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

from ringfence.cli.console import COMMON, Output

#: A parser that is being filled, or one of its groups.
Subparsers = Any

#: The namespace of what names none.
NAMESPACE: Final = "default"


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster, and where in it Ringfence is; None is what kubectl would take."""

    kubeconfig: Path | None
    context: str | None
    namespace: str
    #: What to do where there is no cluster to ask.
    instead: str = "name a kubeconfig with --kubeconfig"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps examples as they are written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)
        # It counts commands as narrower than it then writes them.
        self._action_max_length = 13


class Parser(argparse.ArgumentParser):
    """Says what was probably meant where a command, an option or a value does not exist."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Everything must be known."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            of = self._of(getattr(found, "command", None))
            known = list(of._option_string_actions)
            meant = (_near(each.partition("=")[0], known) for each in unknown if each.startswith("-"))
            of.error(f"unrecognized arguments: {' '.join(unknown)}{next(filter(None, meant), '')}")
        return found

    def _of(self, command: str | None) -> "argparse.ArgumentParser":
        """The parser of a command."""
        if self._subparsers is None or command is None:
            return self
        (chosen,) = self._subparsers._group_actions
        found: argparse.ArgumentParser = dict(chosen.choices or {})[command]
        return found

    def error(self, message: str) -> NoReturn:
        """Say it, and end with status 2."""
        wrong = _CHOICE.search(message)
        known = [each.strip("'") for each in wrong[2].split(", ")] if wrong else []
        meant = _near(wrong[1], known) if wrong else ""
        # Without the usage of twenty options: what is wrong would stand below it.
        self.exit(2, f"error: {message}{meant} (see `{self.prog} --help`)\n")


#: A value that argparse refuses, and those that it would take: each in quotes up to Python 3.11, plain from 3.12 on.
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)")


def _near(text: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def command(
    subparsers: Subparsers, name: str, summary: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A new command; ``examples`` are shown below its options, with the program's name filled in for ``{prog}``."""
    prog = " ".join(subparsers._prog_prefix.split())
    made: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=description.strip(),
        epilog="examples:\n" + examples.strip("\n").replace("{prog}", prog),
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    return made


def files(parser: argparse.ArgumentParser, what: str) -> None:
    """``-f``, and what reading files needs."""
    group = parser.add_argument_group("what to read")
    group.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="FILE",
        help=f"{what}: a file, a directory (read with all below it) or - for standard input; may be repeated",
    )
    namespace(parser, group)
    group.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings of the installation (the chart's config.yaml); default: those of the chart, without proxies",
    )
    group.add_argument(
        "--pod-cidr",
        action="append",
        type=_cidr,
        metavar="CIDR",
        help="range of the pods' addresses, instead of the settings' podCIDRs; may be repeated",
    )


def namespace(parser: argparse.ArgumentParser, group: argparse._ActionsContainer | None = None) -> None:
    """``-n`` for what names no namespace, in what is read and in what is asked (``of_bare``)."""
    (group or parser).add_argument(
        "-n",
        "--namespace",
        action=_Namespace,
        default=NAMESPACE,
        help=f"namespace of what names none (default: {NAMESPACE}; of a bare name that is asked about: the only one)",
    )
    parser.set_defaults(bare=None)


class _Namespace(argparse.Action):
    """Keeps beside the namespace that it was said, not assumed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        namespace.namespace = namespace.bare = values


def of_bare(arguments: argparse.Namespace) -> str | None:
    """The namespace of a bare name that is asked about; None where ``-n`` does not say it."""
    found: str | None = arguments.bare
    return found


def _cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} (write it as 10.244.0.0/16)") from error


def cluster(parser: argparse.ArgumentParser) -> None:
    """Which cluster."""
    group = parser.add_argument_group("which cluster")
    group.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: as kubectl")
    group.add_argument("--context", metavar="NAME", help="context of the kubeconfig; default: the current one")
    group.add_argument(
        "--ringfence-namespace",
        default=os.environ.get("POD_NAMESPACE", "ringfence-system"),
        metavar="NAME",
        help="where Ringfence is installed (default: $POD_NAMESPACE, else ringfence-system)",
    )


def target(arguments: argparse.Namespace) -> Target:
    """The cluster that the command line names."""
    found = Target(arguments.kubeconfig, arguments.context, arguments.ringfence_namespace)
    files_ = hasattr(arguments, "filename")
    return replace(found, instead=f"{found.instead}, or give files with -f") if files_ else found


def output(parser: argparse.ArgumentParser, choices: Sequence[Output] = COMMON) -> None:
    """How to answer."""
    group = parser.add_argument_group("how to answer")
    group.add_argument(
        "-o",
        "--output",
        choices=[str(each) for each in choices],
        default=str(choices[0]),
        help=f"default: {choices[0]}",
    )
    group.add_argument("-v", "--verbose", action="count", default=0, help="also say what was left aside")


def verbosity(parser: argparse.ArgumentParser) -> None:
    """``-v`` for commands that answer in words only."""
    parser.add_argument("-v", "--verbose", action="count", default=0, help="say more")
