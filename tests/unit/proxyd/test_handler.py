"""What a stream keeps of what a proxy has said."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import grpc.aio
from ringfence.model.proxy_settings import OLDEST_ENVOY
from ringfence.proxyd import server, wire
from ringfence.proxyd.authentication import Caller, Refused
from ringfence.proxyd.server import Handler, Limits, Stream

CALLER = Caller("shop", "web-1", "uid-1", "web", "node-1", expires=2e9)


class Request:
    """A request as far as the handler looks at it; its end can be seen."""

    def __init__(self) -> None:
        self.node = wire.Request().node
        self.node.id = CALLER.node_id
        told = self.node.user_agent_build_version.version
        told.major_number, told.minor_number, told.patch = OLDEST_ENVOY


class House:
    """Serves everybody, and keeps nothing."""

    def __init__(self) -> None:
        self.requests = 0

    async def admit(self, metadata: dict[str, str]) -> Stream:
        del metadata
        return Stream(CALLER)

    def heard(self, stream: Stream, request: object) -> None:
        del stream, request
        self.requests += 1

    def opened(self, stream: Stream) -> None: ...

    def closed(self, stream: Stream) -> None: ...

    def turned_away(self, error: Refused, peer: str) -> None:
        raise AssertionError(f"{peer}: {error}")

    def sent(self, size: int) -> None: ...

    def may_linger(self, stream: Stream) -> bool:
        del stream
        return False


class Context:
    """A proxy that makes some requests, then says nothing until it hangs up."""

    def __init__(self, *make: Callable[[], object]) -> None:
        self._make = list(make)
        self.silent = asyncio.Event()
        self.hang_up = asyncio.Event()
        self.ended: tuple[Any, str] | None = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def read(self) -> object:
        if self._make:
            return self._make.pop(0)()
        self.silent.set()
        await self.hang_up.wait()
        return grpc.aio.EOF

    async def abort(self, code: Any, words: str) -> None:
        self.ended = code, words


def test_no_request_is_kept_while_the_next_is_waited_for() -> None:
    alive: list[weakref.ref[Request]] = []

    def request() -> Request:
        made = Request()
        alive.append(weakref.ref(made))
        return made

    async def scenario() -> None:
        house, context = House(), Context(request, request)
        handler = Handler(house, Limits(), wall=lambda: 1e9)
        details = type("Details", (), {"method": f"/{wire.SERVICE}/{wire.METHOD}"})()
        serving = asyncio.create_task(handler.service(details).stream_stream(None, context))
        async with asyncio.timeout(10):
            await context.silent.wait()
        gc.collect()
        assert house.requests == 2
        assert [each() for each in alive] == [None, None]
        context.hang_up.set()
        async with asyncio.timeout(10):
            await serving
        assert context.ended == (server.grpc.StatusCode.UNAVAILABLE, "the proxy has hung up")

    asyncio.run(scenario())
