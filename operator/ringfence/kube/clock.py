"""The real clock, for wiring; everything else takes ports.Clock as an argument."""

import time


class SystemClock:
    """Fulfils ports.Clock."""

    def now(self) -> float:
        """Seconds since the epoch (UTC)."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds of a clock that never steps."""
        return time.monotonic()
