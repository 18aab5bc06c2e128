"""Connections: one for each request however many watches there are, and what the environment has to say about them."""

import asyncio
import ssl
import tracemalloc
from asyncio import sslproto
from pathlib import Path

import pytest
from kubernetes.aio.client.configuration import Configuration
from ringfence.kube import client, errors

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


def test_a_connection_over_tls_holds_a_buffer_of_two_records_at_most() -> None:
    async def main() -> int:
        configuration = Configuration(retries=0)
        configuration.host = "https://127.0.0.1:1"
        api = client.Client(configuration, user_agent="test")
        secured, loop = ssl.create_default_context(), asyncio.get_running_loop()
        tracemalloc.start()
        try:
            made = sslproto.SSLProtocol(loop, asyncio.Protocol(), secured, None, server_side=False, server_hostname="x")
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            await api.close()
        del made
        return held

    # asyncio's own buffer is one of 256 KiB. A record of TLS has 16.
    assert 16 * 1024 < asyncio.run(main()) < 48 * 1024


def _arrives(host: str = "") -> str:
    """Make a request to ``host`` (or to a server of ours) and return the head that our server gets; "" for none."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        own = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.MonkeyPatch.context() as patch:
            if host:
                patch.setenv("http_proxy", own)
            configuration = Configuration(retries=0)
            configuration.host = host or own
            api = client.Client(configuration, user_agent="test")
        try:
            await api.request("GET", "/x")
        except errors.Unreachable:
            pass
        finally:
            await api.close()
            server.close()

    asyncio.run(main())
    return "".join(heads)


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost")
    assert _arrives("http://api.invalid:6443").startswith("GET http://api.invalid:6443/x HTTP/1.1")


@pytest.mark.parametrize("exempt", ["api.invalid", "invalid", "*", "api.invalid:6443"])
def test_and_not_for_what_it_exempts(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("no_proxy", exempt)
    assert _arrives("http://api.invalid:6443") == ""


def test_no_password_of_the_users_netrc_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert "Authorization" not in _arrives()
