"""The certificate changes under a running server: new connections get the newest, old ones live on."""

import asyncio
import base64
import logging
import ssl
import time
from typing import Any

import pytest
from ringfence.pki import serving
from ringfence.webhook import tls

NOW = time.time()


def secret(pair: serving.Pair) -> dict[str, Any]:
    data = {"tls.crt": pair.certificate, "tls.key": pair.key}
    return {
        "metadata": {"name": "ringfence-webhook-tls"},
        "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
    }


async def presented(port: int, ca: serving.Pair) -> bytes:
    """The certificate that a new connection sees, checked against ``ca``."""
    context = ssl.create_default_context(cadata=ca.certificate.decode())
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


def test_new_connections_get_the_newest_and_old_ones_live_on() -> None:
    async def scenario() -> None:
        ca = serving.make_ca(NOW, 1)
        certificate = tls.Certificate()

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=certificate.context)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await presented(port, ca)
        assert certificate.take(secret(serving.issue(ca, ["localhost"], NOW, 2)))
        first = await presented(port, ca)
        context = ssl.create_default_context(cadata=ca.certificate.decode())
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        assert certificate.take(secret(serving.issue(ca, ["localhost"], NOW, 3)))
        assert await presented(port, ca) != first
        writer.write(b"still here\n")
        assert await reader.readline() == b"still here\n"
        writer.close()
        server.close()

    asyncio.run(scenario())


def test_what_does_not_fit_leaves_the_last_good_one(caplog: pytest.LogCaptureFixture) -> None:
    ca = serving.make_ca(NOW, 1)
    good = serving.issue(ca, ["localhost"], NOW, 2)
    certificate = tls.Certificate()
    assert certificate.take(secret(good))
    ends = certificate.ends
    other = serving.issue(ca, ["localhost"], NOW, 3)
    broken: list[Any] = [
        secret(serving.Pair(good.certificate, other.key)),
        secret(serving.Pair(b"", b"")),
        {"metadata": {"name": "x"}, "data": {"tls.crt": "!", "tls.key": "!"}},
        {"metadata": {"name": "x"}, "data": {"tls.crt": base64.b64encode(good.certificate).decode()}},
        {"metadata": {"name": "x"}, "data": None},
        {"metadata": {"name": "x"}},
    ]
    with caplog.at_level(logging.ERROR):
        for each in broken:
            assert certificate.take(each) is False
    assert certificate.ends == ends == serving.ends(good.certificate)
    assert len(caplog.records) == len(broken)
    assert "PRIVATE" not in caplog.text


def test_nothing_older_than_tls_1_3() -> None:
    assert tls.new_context().minimum_version is ssl.TLSVersion.TLSv1_3
