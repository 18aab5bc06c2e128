"""The top layer: the command, and the processes that it can start, which must not know of each other."""

import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ringfence.cli.processes import Process
    from ringfence.settings import Settings


def _process(module: str) -> "Process":
    """The process of a front door, imported only when it is started: Kopf takes a second that `can-i` need not wait."""

    def run(settings: "Settings") -> int | None:
        status: int | None = import_module(module).run(settings)
        return status

    return run


PROCESSES: "Final[Mapping[str, Process]]" = {
    "controller": _process("ringfence.controller.main"),
    "webhook": _process("ringfence.webhook.main"),
    "proxyd": _process("ringfence.proxyd.main"),
    "node": _process("ringfence.node.main"),
}


def main() -> int:
    """The command ``ringfence``; the exit status."""
    # Importing takes a second, in which Ctrl-C ends the process at once rather than with a traceback. Whoever has
    # started it with interrupts ignored keeps that.
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if own:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ringfence import memory  # noqa: PLC0415
    from ringfence.cli import main as cli  # noqa: PLC0415

    memory.collect_seldom()
    if own:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main(sys.argv[1:], PROCESSES, prog=cli.program(sys.argv[0]))


if __name__ == "__main__":
    sys.exit(main())
