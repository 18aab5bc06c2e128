"""Results of pure functions, kept by the values that they were computed from.

A key holds everything that its result depends on, so nothing kept can be out of date: whatever changed makes another
key. What bounds the memory is weight, not number: one policy may be a hundred times as long as another.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The results that were asked for last, of ``most`` weight together; ``weigh`` says what one weighs."""

    def __init__(self, compute: Callable[[K], V], *, weigh: Callable[[K, V], int], most: int) -> None:
        self._compute = compute
        self._weigh = weigh
        self._most = most
        self._results: OrderedDict[K, V] = OrderedDict()
        # Invariants are proven beside the event loop, over policies that it compiles at the same time.
        self._lock = threading.Lock()
        self.weight = 0

    def __call__(self, key: K) -> V:
        """The result for ``key``, computed if it is not there."""
        with self._lock:
            results = self._results
            if key in results:
                results.move_to_end(key)
                return results[key]
        return self._add(key)

    def cache_clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._results.clear()
            self.weight = 0

    def _add(self, key: K) -> V:
        found = self._compute(key)
        weight = self._weigh(key, found)
        if weight > self._most:
            return found
        with self._lock:
            if key in self._results:
                return self._results[key]
            self._results[key] = found
            self.weight += weight
            while self.weight > self._most:
                old, result = self._results.popitem(last=False)
                self.weight -= self._weigh(old, result)
        return found
