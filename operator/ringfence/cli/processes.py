"""`ringfence run …` and `ringfence version`: the processes of an installation, each started by name."""

import argparse
from collections.abc import Callable
from pathlib import Path

from ringfence import __version__, settings
from ringfence.cli import options
from ringfence.cli.console import Console, Output

#: Runs until it is told to end; the exit status (None counts as 0).
Process = Callable[[settings.Settings], int | None]

_DESCRIPTION = """
Run one of Ringfence's processes; inside a cluster the chart does this. The settings come from a file as the chart
writes it; where it is and who it is in the cluster come from POD_NAMESPACE and POD_NAME.
"""
_EXAMPLES = """
  {prog} run controller --config /etc/ringfence/config.yaml
  {prog} run webhook --config /etc/ringfence/config.yaml
  {prog} run proxyd --config /etc/ringfence/config.yaml
  {prog} run node --config /etc/ringfence/config.yaml

exit status: 0 ended when told to, 2 the settings cannot be used
"""
_VERSION_EXAMPLES = """
  {prog} version
  {prog} version -o json
"""


def add(subparsers: options.Subparsers) -> None:
    """Define the commands."""
    runner = options.command(subparsers, "run", "run a process of Ringfence's", _DESCRIPTION, _EXAMPLES)
    runner.add_argument("process", choices=("controller", "webhook", "proxyd", "node"), help="which one")
    runner.add_argument("--config", type=Path, default=settings.DEFAULT_PATH, metavar="FILE", help="its settings")
    runner.set_defaults(run=run)
    version = options.command(
        subparsers, "version", "show the version", "Show the version of this program.", _VERSION_EXAMPLES
    )
    options.output(version)
    version.set_defaults(run=show_version)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Start the process and stay until it ends."""
    del console
    loaded = settings.load(arguments.config)
    process: Process = arguments.processes[arguments.process]
    return process(loaded) or 0


def show_version(arguments: argparse.Namespace, console: Console) -> int:
    """Show the version."""
    del arguments
    if console.output is Output.TEXT:
        console.print(f"ringfence {__version__}")
    else:
        console.data({"version": __version__})
    return 0
