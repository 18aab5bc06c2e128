"""Keys that are due at a moment of the wall clock, such as the renewal of a certificate.

A clock may be set, and a machine may sleep; so nothing waits longer than a little without looking at the clock again.
These are not part of what is still to be done now: a controller that waits for a renewal is idle.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Final

from ringfence.model.ports import Clock
from ringfence.pki.renewal import clock_step

#: Seconds after which the clock is looked at again whatever it said before.
LOOK_SECONDS: Final = 20.0
#: Of several moments within so many seconds the keys come one after the other at least this far apart.
LEAST_SECONDS: Final = 0.2


class Alarms:
    """For keys of one event loop; each has at most one moment."""

    def __init__(self, clock: Clock, ring: Callable[[str], None]) -> None:
        """``ring`` is called with each key that is due."""
        self._clock = clock
        self._ring = ring
        self._due: dict[str, float] = {}
        self._reading: tuple[float, float] | None = None
        #: Called when the clock was set: what was due by the old one says nothing.
        self.stepped: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()

    def set(self, key: str, moment: float | None) -> None:
        """Have the key ring at ``moment`` (epoch seconds) instead of whenever it was to; None: not at all."""
        if moment is None:
            self._due.pop(key, None)
        else:
            self._due[key] = moment
            self._changed.set()

    def next(self) -> float | None:
        """The earliest moment; None when nothing is set."""
        return min(self._due.values(), default=None)

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            self._compare((now, self._clock.monotonic()))
            for key in sorted(key for key, moment in self._due.items() if moment <= now):
                del self._due[key]
                self._ring(key)
            wait = min(LOOK_SECONDS, max(LEAST_SECONDS, (self.next() or math.inf) - now))
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue
            # Something nearer may have been set; not sooner than this, or a storm of them would spin.
            await asyncio.sleep(LEAST_SECONDS)

    def _compare(self, reading: tuple[float, float]) -> None:
        if self._reading is not None and clock_step(self._reading, reading):
            self.stepped()
        self._reading = reading
