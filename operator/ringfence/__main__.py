"""The top layer: the command, and the processes that it can start, which must not know of each other."""

import sys
from importlib import import_module

from ringfence import memory
from ringfence.cli import main as cli
from ringfence.cli.processes import Process
from ringfence.settings import Settings


def _process(module: str) -> Process:
    """The process of a front door, imported only when it is started: Kopf takes a second that `can-i` need not wait."""

    def run(settings: Settings) -> int | None:
        status: int | None = import_module(module).run(settings)
        return status

    return run


PROCESSES = {
    "controller": _process("ringfence.controller.main"),
    "webhook": _process("ringfence.webhook.main"),
    "proxyd": _process("ringfence.proxyd.main"),
    "node": _process("ringfence.node.main"),
}


def main() -> int:
    """The command ``ringfence``; the exit status."""
    memory.collect_seldom()
    return cli.main(sys.argv[1:], PROCESSES, prog=cli.program(sys.argv[0]))


if __name__ == "__main__":
    sys.exit(main())
