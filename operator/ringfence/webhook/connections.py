"""Connections of a server that anybody in the cluster can reach, though only the API server has business with it.

Nobody may keep it from being answered by holding connections open: a request's head must arrive promptly, and when all
places are taken, whoever holds the most of them gives one up.
"""

import asyncio
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Seconds from the opening of a connection, or from the first byte of a request, to the end of the request's head.
HEAD: Final = 5.0


class Places:
    """Who holds how many connections. ``limit`` is their number at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: dict[str, dict[GuardedProtocol, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def take(self, address: str, connection: "GuardedProtocol") -> None:
        """Give a place; when there is none, the oldest connection of who holds the most is cut."""
        if self._count >= self.limit:
            largest = max(self._held.values(), key=len)
            next(iter(largest)).cut()
        self._held.setdefault(address, {})[connection] = None
        self._count += 1

    def leave(self, address: str, connection: "GuardedProtocol") -> None:
        """Take the place back; more than once is as good as once."""
        held = self._held.get(address, {})
        if connection in held:
            del held[connection]
            self._count -= 1
            if not held:
                del self._held[address]


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a place among ``places`` and a bound on how long a request's head may take."""

    places = Places(2048)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place and start to wait for a request."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._address = self.client[0] if self.client else ""
        self._head: asyncio.TimerHandle | None = None
        self.places.take(self._address, self)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self.places.leave(self._address, self)
        self._head_is_here()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the first byte of a request's head starts its time."""
        super().data_received(data)
        # Before the first request there is no cycle at all, whatever its annotation says.
        idle = getattr(self.cycle, "response_complete", True)
        if idle and self._head is None and self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._expect_head()

    def on_headers_complete(self) -> None:
        """The head is here: from now on the deadline of the request holds."""
        self._head_is_here()
        super().on_headers_complete()

    def cut(self) -> None:
        """End the connection at once."""
        self.places.leave(self._address, self)
        self.transport.abort()

    def _expect_head(self) -> None:
        self._head = self.loop.call_later(HEAD, self.cut)

    def _head_is_here(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


def guarded(limit: int) -> type[Any]:
    """A protocol class whose connections share ``limit`` places."""
    return type("Guarded", (GuardedProtocol,), {"places": Places(limit)})
