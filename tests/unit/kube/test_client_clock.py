"""What the client knows of the API server's clock, and that processes with wrong clocks agree by it."""

import asyncio
import time
from email.utils import formatdate

import pytest
from kubernetes.aio.client.configuration import Configuration
from ringfence.kube import client
from ringfence.kube.clock import ApiClock


def _ahead(*dates: str) -> float:
    """What is known after answers with these Date headers."""
    left = list(dates)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            date = left.pop(0)
            told = f"Date: {date}\r\n" if date else ""
            writer.write(
                f"HTTP/1.1 200 OK\r\n{told}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode()
            )
        writer.close()

    async def main() -> float:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        configuration = Configuration(retries=0)
        configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        api = client.Client(configuration, user_agent="test")
        try:
            for _ in dates:
                await api.request("GET", "/x")
            return api.ahead
        finally:
            await api.close()
            server.close()

    return asyncio.run(main())


def _date(ahead: float) -> str:
    return formatdate(time.time() + ahead, usegmt=True)


@pytest.mark.parametrize("ahead", [300.0, -300.0, 86400.0])
def test_a_clock_that_differs_is_known_to_the_second(ahead: float) -> None:
    assert _ahead(_date(ahead)) == pytest.approx(ahead, abs=2.0)


def test_one_that_agrees_costs_nothing_of_the_precision() -> None:
    assert _ahead(_date(0.0)) == 0.0


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Nov 2026 09:00:00 GMT"])
def test_an_answer_without_a_time_changes_nothing(date: str) -> None:
    assert _ahead(_date(300.0), date) == pytest.approx(300.0, abs=2.0)
    assert _ahead(date) == 0.0


def test_it_follows_the_last_answer() -> None:
    assert _ahead(_date(300.0), _date(0.0)) == 0.0


def test_the_clock_of_the_api_server() -> None:
    clock = ApiClock(lambda: 300.0)
    assert clock.now() - time.time() == pytest.approx(300.0, abs=1.0)
    assert clock.monotonic() == pytest.approx(time.monotonic(), abs=1.0)
