"""The real clock, for wiring; everything else takes ports.Clock as an argument."""

import time
from collections.abc import Callable


class SystemClock:
    """Fulfils ports.Clock."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()


class ApiClock:
    """The API server's: for times that processes on different machines write down and compare. Fulfils ports.Clock."""

    def __init__(self, ahead: Callable[[], float]) -> None:
        """``ahead``: seconds that it is ahead of this machine's clock (client.Client.ahead)."""
        self._ahead = ahead

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time() + self._ahead()

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()
