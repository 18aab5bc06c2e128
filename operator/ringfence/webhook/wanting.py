"""Asks the controller to look at images: after the answer was given, as an ImageVerdict without an answer.

It never makes a review wait, forgets what is too much, and says the same thing once: whoever creates the pod comes
again, and then it is said again.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from ringfence.model.errors import RingfenceError
from ringfence.model.ports import Lister
from ringfence.model.signatures import MAX_HELD, Wanted
from ringfence.webhook.metrics import Metrics

_log: Final = logging.getLogger(__name__)

#: Requests that wait, and those of one namespace among them.
MAX_WAITING: Final = 512
MAX_OF_NAMESPACE: Final = 64
#: Seconds after which the same is said again.
AGAIN: Final = 20.0
#: Requests that are remembered as said.
_REMEMBERED: Final = 4096
#: Seconds that one write may take.
_WRITE: Final = 5.0

#: Writes the request for an image; raises RingfenceError.
Write = Callable[[Wanted], Awaitable[None]]


class Wants:
    """A bounded queue of images to look at, written by one task."""

    def __init__(
        self, held: Lister, write: Write, metrics: Metrics, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``held`` are the ImageVerdicts that there are."""
        self._held = held
        self._write = write
        self._metrics = metrics
        self._monotonic = monotonic
        self._waiting: OrderedDict[tuple[str, str], Wanted] = OrderedDict()
        self._of: Counter[str] = Counter()
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._wake = asyncio.Event()

    def offer(self, wanted: tuple[Wanted, ...]) -> None:
        """Have these written soon; never waits, never raises."""
        for each in wanted:
            key = each.namespace, each.name
            if key in self._waiting or self._monotonic() - self._said.get(key, float("-inf")) < AGAIN:
                continue
            if len(self._waiting) >= MAX_WAITING or self._of[each.namespace] >= MAX_OF_NAMESPACE or self._full(each):
                self._metrics.wants_dropped.inc()
                continue
            self._waiting[key] = each
            self._of[each.namespace] += 1
            self._wake.set()

    async def run(self) -> None:
        """Write what is offered, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                key, wanted = self._waiting.popitem(last=False)
                self._of[wanted.namespace] -= 1
                await self._say(key, wanted)

    def _full(self, wanted: Wanted) -> bool:
        """Whether its namespace has as many verdicts as it may, and none for this image."""
        if self._held.get(wanted.namespace, wanted.name) is not None:
            return False
        return len(self._held.list(wanted.namespace)) >= MAX_HELD

    async def _say(self, key: tuple[str, str], wanted: Wanted) -> None:
        try:
            async with asyncio.timeout(_WRITE):
                await self._write(wanted)
        except (RingfenceError, TimeoutError) as error:
            _log.warning("image %s of %s cannot be asked for: %s", wanted.image, wanted.namespace, error)
            return
        self._said[key] = self._monotonic()
        self._said.move_to_end(key)
        while len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
