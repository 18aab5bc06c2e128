"""Progress for people, on standard error: standard output belongs to what other programs read."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from e2e.cluster.errors import ClusterError


def say(message: str) -> None:
    """One line, now."""
    print(message, file=sys.stderr, flush=True)


def status_of(command: Callable[[], int]) -> int:
    """Runs a command that a person typed; its exit status, with what went wrong in one line."""
    try:
        return command()
    except (ClusterError, ValueError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


@contextmanager
def step(message: str) -> Iterator[None]:
    """Announces work that takes a while, and how long it took when it ends well."""
    say(f"  {message} ...")
    begin = time.monotonic()
    yield
    say(f"  {message}: {time.monotonic() - begin:.1f} s")


class Ticker:
    """A counter that speaks at most once in `every` seconds, so that logs stay short and silence never lasts."""

    def __init__(self, every: float = 10.0) -> None:
        self._every = every
        self._begin = self._last = time.monotonic()

    def tick(self, message: str) -> None:
        """Says the message with the seconds gone by, unless it spoke a moment ago."""
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            say(f"    {now - self._begin:4.0f} s  {message}")
