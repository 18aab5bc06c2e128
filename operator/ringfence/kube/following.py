"""A cache that comes and goes while the process runs: a Reflector with a task of its own."""

import asyncio
import contextlib

from ringfence.kube import errors, watch

#: Seconds that a first list may take; the right to it may be a moment old and unknown to the API server yet.
OPEN_SECONDS = 10.0


class NotRead(errors.KubeError):
    """What a cache shall hold could not be read in time."""

    retriable = True


class Following:
    """Runs the Reflector from now on, in the running event loop, until ``end``."""

    def __init__(self, cache: watch.Reflector, what: str) -> None:
        """``what`` names it for people: ``the Secrets of namespace shop``."""
        self.cache = cache
        self._what = what
        self._task = asyncio.create_task(cache.run(), name=f"watch {what}")

    async def complete(self) -> watch.Reflector:
        """The cache once its first list is complete; raises NotRead."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self.cache.wait_synced()
        except TimeoutError as error:
            raise NotRead(f"{self._what} cannot be read: {self.cache.trouble or 'too slow'}") from error
        return self.cache

    def end(self) -> None:
        """Stop watching, without waiting for it."""
        self._task.cancel()

    async def ended(self) -> None:
        """Stop watching; returns when that is done."""
        self.end()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
