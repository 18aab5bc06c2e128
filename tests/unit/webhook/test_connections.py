"""Real connections to a real server: who holds them open does not keep others out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from ringfence.webhook import connections, listening
from ringfence.webhook.connections import GuardedProtocol, Places

#: How the other end sees that its connection was cut.
CUT = (ConnectionResetError, BrokenPipeError, asyncio.IncompleteReadError)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once."""
    del receive
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def serve(limit: int, scenario: Callable[[int, type[GuardedProtocol]], Awaitable[None]]) -> None:
    """Run the scenario with the port of a server that has so many places."""

    async def main() -> None:
        protocol = connections.guarded(limit)
        common: dict[str, Any] = {"loop": "none", "ws": "none", "lifespan": "off", "log_config": None}
        server = listening.Server(uvicorn.Config(app, host="127.0.0.1", port=0, http=protocol, **common))
        async with listening.serving(server):
            while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
                await asyncio.sleep(0.01)
            await scenario(server.servers[0].sockets[0].getsockname()[1], protocol)

    asyncio.run(main())


async def ask(port: int, source: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    writer.write(REQUEST)
    answer = await reader.readline()
    writer.close()
    return answer


def test_when_all_places_are_taken_who_holds_the_most_gives_one_up() -> None:
    async def scenario(port: int, protocol: type[GuardedProtocol]) -> None:
        held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(3)]
        modest_reader, modest = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0))
        async with asyncio.timeout(20):
            while len(protocol.places) < 4:  # noqa: ASYNC110 (what changes is plain state)
                await asyncio.sleep(0.005)
        assert await ask(port) == b"HTTP/1.1 200 OK\r\n"
        with pytest.raises(CUT):
            await asyncio.wait_for(held[0][0].readexactly(1), 20)
        modest.write(REQUEST)
        assert await modest_reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for _, writer in [*held, (None, modest)]:
            writer.close()

    serve(4, scenario)


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nX: "])
def test_a_head_that_does_not_arrive_ends_its_connection(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.1)

    async def scenario(port: int, protocol: type[GuardedProtocol]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        with pytest.raises(CUT):
            await asyncio.wait_for(reader.readexactly(1), 20)
        async with asyncio.timeout(20):
            while len(protocol.places):  # noqa: ASYNC110 (what changes is plain state)
                await asyncio.sleep(0.005)
        writer.close()

    serve(10, scenario)


def test_neither_does_one_that_drips_on_a_connection_that_was_good_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD", 0.2)

    async def scenario(port: int, protocol: type[GuardedProtocol]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        assert await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.4)
        assert len(protocol.places) == 1

        async def drip() -> None:
            for byte in REQUEST:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
            await reader.readexactly(1)

        with pytest.raises(CUT):
            await drip()
        writer.close()

    serve(10, scenario)


def test_leaving_twice_is_leaving_once() -> None:
    places = Places(1)
    connection: Any = object()
    places.take("a", connection)
    for _ in range(2):
        places.leave("a", connection)
    assert len(places) == 0
