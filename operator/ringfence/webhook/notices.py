"""Events from the webhook: written beside the answers, bounded in every direction, and the first thing to be dropped.

Ten thousand pods of one owner that break the same thing are one Event; what is new waits in a queue of limited length,
which empties at a limited pace; what finds it full is counted and forgotten. An answer never waits for any of it.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from ringfence.model.ports import EventSink, Object
from ringfence.webhook.metrics import Metrics
from ringfence.webhook.wire import Notice

_log = logging.getLogger(__name__)

#: Notices that may wait.
QUEUE: Final = 500
#: Seconds between two Events of this process.
PACE: Final = 0.1
#: Seconds for which an equal notice is not written again.
REPEAT: Final = 300.0
#: Notices that are remembered as written, and that a namespace may cause in the time of REPEAT.
REMEMBERED: Final = 2000
SHARE: Final = 100

ACTION: Final = "Admission"


class Notices:
    """A queue of Events to write."""

    def __init__(
        self,
        sink: EventSink,
        metrics: Metrics,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pace: float = PACE,
    ) -> None:
        self._sink = sink
        self._metrics = metrics
        self._monotonic = monotonic
        self._pace = pace
        self._waiting: asyncio.Queue[Notice] = asyncio.Queue(QUEUE)
        self._told: OrderedDict[Notice, float] = OrderedDict()
        #: Since when each namespace has caused how many.
        self._caused: dict[str, tuple[float, int]] = {}

    def offer(self, notices: Iterable[Notice]) -> None:
        """Have them written some time, if there is room and they are new; never waits, never raises."""
        for notice in notices:
            now = self._monotonic()
            if now - self._told.get(notice, -REPEAT) < REPEAT:
                continue
            if self._waiting.full() or not self._may(notice.namespace, now):
                self._metrics.events_dropped.inc()
                continue
            self._waiting.put_nowait(notice)
            self._told[notice] = now
            self._told.move_to_end(notice)
            if len(self._told) > REMEMBERED:
                self._told.popitem(last=False)

    def _may(self, namespace: str, now: float) -> bool:
        """Whether a namespace may cause one more, so that the storm of one keeps nobody else's from being told."""
        began, count = self._caused.get(namespace, (now, 0))
        if now - began >= REPEAT:
            began, count = now, 0
        self._caused[namespace] = began, count + 1
        if len(self._caused) > REMEMBERED:
            self._caused.pop(next(iter(self._caused)))
        return count < SHARE

    async def write(self) -> None:
        """Write what waits, at a limited pace; until cancelled."""
        while True:
            notice = await self._waiting.get()
            try:
                await self._sink.emit(
                    _regarding(notice),
                    type_="Warning" if notice.warning else "Normal",
                    reason=notice.reason,
                    action=ACTION,
                    note=notice.note,
                )
            except Exception:  # noqa: BLE001 (telling must not end because of one thing that cannot be told)
                _log.exception("an event could not be written")
            await asyncio.sleep(self._pace)


def _regarding(notice: Notice) -> Object:
    about = notice.about
    return {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "metadata": {"namespace": notice.namespace, "name": about.name, "uid": about.uid},
    }
