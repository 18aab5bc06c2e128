"""Workers that look at images, beside those that reconcile: registries are slow, and nobody else shall wait for them.

Their keys are namespaces, so that a namespace with many images, or with a registry that does not answer, has one
worker at most and the others have theirs.
"""

import asyncio
import logging
from typing import Final

from ringfence.caches import Caches
from ringfence.controller.queue import WorkQueue
from ringfence.kube.backoff import Backoff
from ringfence.model.errors import RingfenceError
from ringfence.reconcile.verdicts import VerdictKeeper

_log: Final = logging.getLogger(__name__)

WORKERS: Final = 8


class Verifying:
    """Has a namespace's ImageVerdicts kept whenever one of them, or what policies ask, may have changed."""

    def __init__(self, caches: Caches, keeper: VerdictKeeper) -> None:
        self._caches = caches
        self._keeper = keeper
        self.queue = WorkQueue(lambda: Backoff(1.0, 120.0))

    def connect(self) -> None:
        """Have the caches call from now on."""
        self._caches["verdicts"].subscribe(lambda namespace, _: self.queue.add(namespace))
        self._caches["policies"].subscribe(lambda namespace, _: self._add(namespace))
        self._caches["namespaces"].subscribe(lambda _, name: self._add(name))
        self._caches["cluster_policies"].subscribe(lambda *_: self.everything())

    def everything(self) -> None:
        """Every namespace that has verdicts."""
        for obj in self._caches["verdicts"].list():
            self.queue.add(obj["metadata"]["namespace"])

    async def run(self) -> None:
        """Work until cancelled, beginning with everything."""
        self.everything()
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"verifier {number}")

    def _add(self, namespace: str) -> None:
        if self._caches["verdicts"].list(namespace):
            self.queue.add(namespace)

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                again_in = await self._keeper.reconcile(key)
            except asyncio.CancelledError:
                self.queue.done(key)
                raise
            except Exception as error:  # noqa: BLE001 (a defect in one namespace must not stop the others)
                wait = self.queue.failed(key)
                known = _known(error)
                what = "images of %s could not be looked at, trying again in %.1f s: %s"
                _log.warning(what, key, wait, known or error, exc_info=None if known else error)
                continue
            self.queue.done(key)
            if again_in:
                self.queue.add_later(key, again_in)


def _known(error: BaseException) -> str:
    """What is wrong when it is no defect; "" otherwise."""
    if isinstance(error, BaseExceptionGroup):
        found = [_known(each) for each in error.exceptions]
        return "; ".join(found) if all(found) else ""
    return str(error) if isinstance(error, RingfenceError) else ""
