"""/healthz, /readyz and /metrics: plain HTTP for kubelet and Prometheus, nothing else."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import uvicorn

from ringfence import metrics

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Mapping[str, Any], Receive, Send], Awaitable[None]]

_TEXT = "text/plain; charset=utf-8"


def app(why_not_ready: Callable[[], str]) -> Asgi:
    """The ASGI application; ``why_not_ready`` returns "" when the process can do its job."""

    def answer(path: str) -> tuple[int, str, bytes]:
        if path == "/healthz":
            return 200, _TEXT, b"ok\n"
        if path == "/readyz":
            reason = why_not_ready()
            return (503, _TEXT, f"{reason}\n".encode()) if reason else (200, _TEXT, b"ok\n")
        if path == "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.render()
        return 404, _TEXT, b"not here: /healthz, /readyz, /metrics\n"

    async def serve(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] in {"GET", "HEAD"}:
            status, content_type, body = answer(scope["path"])
        else:
            status, content_type, body = 405, _TEXT, b"only GET\n"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return serve


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; an empty host is every address of both families, where the node has IPv6."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


@contextlib.asynccontextmanager
async def serving(application: Asgi, listener: socket.socket) -> AsyncIterator[None]:
    """Answer while the block runs."""
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan="off", loop="none", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


class _Server(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Signals are main's."""
        yield
