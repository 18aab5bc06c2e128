"""One whole exchange from inside a pod: a small program in the image of the tests' programs (see main.go)."""

from pathlib import Path

from e2e.goprogram.build import Module

PATH = "/exchange"
"""Where it is in the image."""
MODULE = Module("exchange", Path(__file__).resolve().parent)


def build() -> Path:
    """The program. Raises BuildError, or ClusterError when there is no Go to be had."""
    return MODULE.build("exchange")
