"""How long to wait before the next attempt: exponential, with jitter, so that many waiting clients spread out."""

import random
from collections.abc import Callable


class Backoff:
    """Waits of ``first`` seconds, growing by ``factor`` to ``limit``, each times a random 0.5 to 1.0."""

    def __init__(
        self,
        first: float = 0.25,
        limit: float = 15.0,
        factor: float = 2.0,
        randomness: Callable[[], float] = random.random,
    ) -> None:
        self._first = first
        self._limit = limit
        self._factor = factor
        self._randomness = randomness
        self._next = first

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait now, never less than ``at_least`` (what a server asked for); the next wait is longer."""
        wait = self._next * (0.5 + 0.5 * self._randomness())
        self._next = min(self._next * self._factor, self._limit)
        return max(wait, at_least)

    def reset(self) -> None:
        """It went well: the next failure starts small again."""
        self._next = self._first
