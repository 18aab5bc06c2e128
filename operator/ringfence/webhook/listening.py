"""Servers on sockets: uvicorn with its C parser, set up for one client that keeps many connections.

Each server runs in the event loop of the process and leaves signals to it.
"""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import uvicorn

from ringfence.webhook import connections
from ringfence.webhook.tls import Certificate

#: Seconds a connection may be idle: more than the API server keeps it (90), so that it is never the server who closes.
KEEP_ALIVE: Final = 120
#: Connections at once; the API server keeps one for each review that it waits for.
CONNECTIONS: Final = 2048
#: Allocations before a collection, and how many of one generation before one of the next.
_THRESHOLDS: Final = (20_000, 20, 20)
#: Seconds after which a thread that reads a large resource lets the event loop have its turn.
_SWITCH: Final = 0.001

_COMMON: Final[dict[str, Any]] = {
    "loop": "none",
    "ws": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "proxy_headers": False,
    "server_header": False,
    "date_header": False,
    "timeout_graceful_shutdown": 10,
}


class Server(uvicorn.Server):
    """Signals are the process' business, not each server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def secure(app: Any, certificate: Certificate, host: str, port: int) -> Server:
    """A server with TLS; until there is a certificate every handshake fails."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_context_factory=lambda _config, _default: certificate.context,
        timeout_keep_alive=KEEP_ALIVE,
        http=connections.guarded(CONNECTIONS),
        **_COMMON,
    )
    return Server(config)


def plain(app: Any, host: str, port: int) -> Server:
    """A server without, for probes and metrics."""
    return Server(uvicorn.Config(app, host=host, port=port, http="httptools", **_COMMON))


def settle() -> None:
    """Take what lives as long as the process out of the garbage collector's sight.

    A review leaves almost no cycles behind, so a collection finds nothing and costs milliseconds in a large cache.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    sys.setswitchinterval(_SWITCH)


@contextlib.asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[None]:
    """Serve until the block ends; requests that are being answered then are finished. One that cannot start raises."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(server.serve()) for server in servers]
        try:
            yield
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.wait(tasks)
