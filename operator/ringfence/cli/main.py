"""Reads the command line and hands it to a command; whatever goes wrong becomes a sentence and an exit status."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ringfence import __version__
from ringfence.cli import (
    admit,
    ca,
    can_i,
    commands,
    diff,
    drift,
    explain,
    graph,
    options,
    policy_tests,
    processes,
    prove,
    proxy,
    simulate,
    suggest,
)
from ringfence.cli import compile as compile_
from ringfence.cli.console import Console, Output
from ringfence.cli.problems import BadInput
from ringfence.cli.processes import Process
from ringfence.model.errors import CannotTell, RingfenceError
from ringfence.settings import InvalidSettings

CANNOT: Final = 2
INTERRUPTED: Final = 130
#: What a shell reports for a program that SIGPIPE ended.
BROKEN_PIPE: Final = 141

_DESCRIPTION = """
Ringfence closes the networks of namespaces and checks their pods, from policies that speak of identities.
This command says what those policies mean before they are in force (compile, admit, can-i, diff, simulate, prove: they
need no cluster), and looks after a cluster that runs Ringfence (status, enroll, ca, proxy).
"""
_EPILOG = """
examples:
  {prog} can-i -f examples/shop shop/frontend shop/checkout   # may it call, and which rule says so?
  {prog} compile -f examples/shop                              # what would be written into the cluster?
  {prog} admit -f examples/shop -f pod.yaml                    # would this pod be let in?
  {prog} status                                                # what does Ringfence make of my cluster?

`{prog} COMMAND --help` shows each with examples. Answers go to standard output, remarks to standard error.
"""


def parser(prog: str) -> argparse.ArgumentParser:
    """The whole command line."""
    top = options.Parser(
        prog=prog,
        description=_DESCRIPTION.strip(),
        epilog=_EPILOG.strip("\n").replace("{prog}", prog),
        formatter_class=options.Formatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"ringfence {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for module in (
        compile_,
        admit,
        can_i,
        explain,
        diff,
        drift,
        prove,
        graph,
        simulate,
        suggest,
        policy_tests,
        commands,
        ca,
        proxy,
        processes,
    ):
        module.add(subparsers)
    return top


def program(path: str) -> str:
    """What the user typed to get here."""
    return "kubectl ringfence" if Path(path).name.startswith("kubectl-") else "ringfence"


def main(argv: Sequence[str], known: Mapping[str, Process], *, prog: str = "ringfence") -> int:
    """Run one command; the exit status. ``known`` are the processes that ``run`` can start."""
    try:
        _open_streams()
        top = parser(prog)
        arguments = top.parse_args(_as_option(argv))
        if arguments.command is None:
            top.print_help()
            return 0
        arguments.processes = known
        return _guarded(arguments)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _as_option(argv: Sequence[str]) -> Sequence[str]:
    """``help COMMAND``, as other programs have it, as ``COMMAND --help``."""
    return [*argv[1:], "--help"] if argv[:1] == ["help"] else argv


def _open_streams() -> None:
    """A stream that was closed before the start is empty, and swallows what is written; Python has None for it.

    What the encoding of the terminal lacks (the name of a file may have it) is written out as on standard error.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 (as long as the process)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _guarded(arguments: argparse.Namespace) -> int:
    console = Console(
        sys.stdout,
        sys.stderr,
        os.environ,
        output=Output(getattr(arguments, "output", Output.TEXT)),
        verbosity=getattr(arguments, "verbose", 0),
    )
    try:
        status: int = arguments.run(arguments, console)
        sys.stdout.flush()
    except BadInput as error:
        for problem in error.problems:
            console.error(str(problem))
    except InvalidSettings as error:
        console.error(str(error))
    except CannotTell as error:
        console.error(f"cannot tell: {error}")
    except RingfenceError as error:
        console.error(str(error))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except OSError as error:
        # A full disk, too many open files: what is at fault is not Ringfence.
        console.error(f"{error.filename or 'the system says'}: {error.strerror or error}")
        if console.verbosity:
            traceback.print_exc()
    except Exception as error:  # noqa: BLE001 (a person gets a sentence, whatever it is)
        console.error(f"a defect in ringfence: {type(error).__name__}: {error} (please report it; -v shows more)")
        if console.verbosity:
            traceback.print_exc()
    else:
        return status
    return CANNOT
