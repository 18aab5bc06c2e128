"""The guard stands between every write and the wire: when it is asked for, and once more when the wire is there."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.aio.client.configuration import Configuration
from ringfence.kube import client, errors


class Guard:
    """Refuses from the call with this number on; 0 is the first."""

    def __init__(self, refuses_from: int) -> None:
        self.calls = 0
        self._refuses_from = refuses_from

    def __call__(self) -> None:
        self.calls += 1
        if self.calls > self._refuses_from:
            raise errors.LeadershipLost("not any more")


def _asked(guard: client.Guard, *requests: tuple[str, Any]) -> list[bytes]:
    """Make the requests against a server of ours; what arrived there, one entry for each connection."""
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(arrived)
        arrived.append(b"")
        while data := await reader.read(65536):
            arrived[place] += data
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        configuration = Configuration(retries=0)
        configuration.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        api = client.Client(configuration, user_agent="test", guard=guard)
        try:
            for method, body in requests:
                try:
                    await api.request(method, "/x", body=body)
                finally:
                    await asyncio.sleep(0.02)
        finally:
            await api.close()
            server.close()

    try:
        asyncio.run(main())
    except errors.LeadershipLost:
        arrived.append(b"refused")
    return arrived


WRITES = [("POST", {"a": 1}), ("PUT", {"a": 1}), ("PATCH", {"a": 1}), ("DELETE", None), ("DELETE", {"a": 1})]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_is_refused_before_anything_is_opened(write: tuple[str, Any]) -> None:
    assert _asked(Guard(0), write) == [b"refused"]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_whose_right_ended_while_it_connected_is_not_sent(write: tuple[str, Any]) -> None:
    assert _asked(Guard(1), write) == [b"", b"refused"]


@pytest.mark.parametrize("write", WRITES)
def test_a_write_with_the_right_to_it_is_sent(write: tuple[str, Any]) -> None:
    guard = Guard(10)
    [sent] = _asked(guard, write)
    assert sent.startswith(write[0].encode())
    assert guard.calls == 2


def test_the_second_write_of_a_connection_is_guarded_too() -> None:
    sent, refused = _asked(Guard(3), WRITES[0], WRITES[1])
    assert b"POST" in sent
    assert b"PUT" not in sent
    assert refused == b"refused"


def test_reading_needs_no_right() -> None:
    guard = Guard(0)
    [sent] = _asked(guard, ("GET", None))
    assert sent.startswith(b"GET")
    assert guard.calls == 0


def test_without_a_guard_everything_is_sent() -> None:
    nobody: Callable[[], None] = lambda: None  # noqa: E731 (a guard that lets pass)
    assert len(_asked(nobody, *WRITES)) == 1
