"""When memory is given back: after many proxies have come or gone at once.

Each handshake needs for a moment what its stream does not keep, and when hundreds are under way at once, what is kept
lies between.
"""

from collections.abc import Callable
from typing import Final

from ringfence import memory

#: Streams that have to come or go before it is worth the trouble.
CROWD: Final = 20


class Crowds:
    """Asked again and again, say each second, how many have come and gone so far; calls ``give_back`` after a crowd,
    when nobody has come or gone since it was asked before."""

    def __init__(self, give_back: Callable[[], None] = memory.give_back) -> None:
        self._give_back = give_back
        self._seen = 0
        self._settled = 0

    def look(self, moves: int) -> None:
        """``moves``: how many have come and how many have gone, together, since the beginning."""
        quiet, self._seen = moves == self._seen, moves
        if quiet and moves - self._settled >= CROWD:
            self._settled = moves
            self._give_back()
