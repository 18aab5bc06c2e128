"""All measurements (``python -m bench``) or the named ones, one after the other so that none disturbs another."""

import importlib
import sys

from bench import table

NAMES = (
    "compile",
    "flows",
    "webhook",
    "controller",
    "certificates",
    "identities",
    "storm",
    "proxy",
    "proxyd",
    "requests",
    "podstart",
    "reasoning",
    "growth",
)


def main(arguments: list[str]) -> int:
    """Run and print; 0 also where a goal is missed: the figure is reported as it is."""
    unknown = sorted(set(arguments) - set(NAMES))
    if unknown:
        print(f"no such measurement: {', '.join(unknown)} (there are {', '.join(NAMES)})", file=sys.stderr)
        return 2
    print(f"machine: {table.machine()}", flush=True)
    for name in arguments or NAMES:
        print(f"measuring {name} ...", flush=True)
        table.show(name, importlib.import_module(f"bench.{name}").rows())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
