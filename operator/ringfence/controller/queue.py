"""What is to be reconciled: each key once, never twice at the same time, failures later and later.

A key that is added while it is being worked on is worked on again afterwards, so the last change is always seen.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from ringfence.kube.backoff import Backoff


class WorkQueue:
    """Keys for workers of one event loop. ``add`` may be called from that loop only."""

    def __init__(self, backoff: Callable[[], Backoff] = lambda: Backoff(0.2, 60.0)) -> None:
        self._make_backoff = backoff
        self._backoffs: dict[str, Backoff] = {}
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()
        self._active: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._wakers: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """How many keys wait for a worker now."""
        return len(self._dirty)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, is being worked on, or is to be tried again."""
        return not (self._dirty or self._active or self._timers)

    def add(self, key: str) -> None:
        """Have the key worked on as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._push(key)

    def add_later(self, key: str, seconds: float) -> None:
        """Have the key worked on after so many seconds; of several wishes the earliest counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    async def take(self) -> str:
        """The next key; ``done`` or ``failed`` must be called for it afterwards."""
        while not self._ready:
            waker = asyncio.get_running_loop().create_future()
            self._wakers.append(waker)
            try:
                await waker
            except asyncio.CancelledError:
                if waker in self._wakers:
                    self._wakers.remove(waker)
                elif self._ready:
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        """The key was worked on and all is well."""
        self._backoffs.pop(key, None)
        self._release(key)

    def failed(self, key: str, at_least: float = 0.0) -> float:
        """The key was worked on and something failed: it comes again. Returns after how many seconds."""
        wait = self._backoffs.setdefault(key, self._make_backoff()).next(at_least)
        self._release(key)
        self.add_later(key, wait)
        return wait

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _release(self, key: str) -> None:
        self._active.discard(key)
        if key in self._dirty:
            self._push(key)

    def _push(self, key: str) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._wakers:
            waker = self._wakers.popleft()
            if not waker.done():
                waker.set_result(None)
                return
