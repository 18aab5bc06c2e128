"""Watches hold connections for minutes: however many there are, a request must get one of its own."""

import asyncio

from kubernetes.aio.client.configuration import Configuration
from ringfence.kube import client

#: More than any pool of connections has by default; there is a watch for every enrolled namespace.
WATCHES = 150


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer requests, and keep watches open without a word."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"watch=true" in head:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await reader.read()
    else:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    writer.close()


async def _watch(api: client.Client, opened: asyncio.Semaphore) -> None:
    async for _ in api.watch("/x", {}, silence=60, opened=opened.release):
        pass


def test_a_request_gets_a_connection_however_many_watches_there_are() -> None:
    async def main() -> object:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
        configuration = Configuration(retries=0)
        configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        api = client.Client(configuration, user_agent="test")
        opened = asyncio.Semaphore(0)
        watches = [asyncio.create_task(_watch(api, opened)) for _ in range(WATCHES)]
        try:
            async with asyncio.timeout(20):
                for _ in watches:
                    await opened.acquire()
                return await api.request("GET", "/y")
        finally:
            for each in watches:
                each.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await api.close()
            server.close()

    assert asyncio.run(main()) == {}
