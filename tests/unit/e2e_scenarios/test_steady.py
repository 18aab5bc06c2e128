"""What is counted under load: nothing that failed may be missing in the table, and nothing may count twice."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from e2e.scenarios import loader, steady
from e2e.scenarios.steady import Counts, Row


def said(good: int, failed: dict[str, int], aged: int = 0, early: int = 0) -> Counts:
    line = {"good": good, "failed": failed, "ended": {"aged": aged, "early": early}, "last": "", "final": False}
    return Counts.read(line)


def test_what_came_since_is_told_by_kind_and_what_was_before_is_not() -> None:
    before, after = said(10, {"503": 2}, 1, 0), said(30, {"503": 2, "silent": 1}, 3, 1)
    assert after.since(before) == Counts(20, {"silent": 1}, 2, 1)


def test_pods_that_ended_go_on_to_count() -> None:
    both = said(10, {"503": 2}, 1).plus(said(5, {"503": 1, "silent": 1}, 0, 2))
    assert both == Counts(15, {"503": 3, "silent": 1}, 1, 2)


def test_a_connection_that_is_cut_fails_unless_something_may_end_it() -> None:
    asked, held = Counts(100), Counts(50, aged=4, early=2)
    assert Row("x", 1, asked, held, 0).failed == {"connection cut": 2}
    assert Row("x", 1, asked, held, 0, "a policy").failed == {}
    assert Row("x", 1, Counts(9, {"503": 1}), held, 0, "a policy").failed == {"503": 1}


def test_the_table_has_each_kind_and_the_sum() -> None:
    rows = [
        Row("calm", 60, Counts(30_000), Counts(480, aged=2), 0),
        Row("storm", 10, Counts(5_000, {"503": 3, "silent": 1}), Counts(80, early=8), 1, "a policy"),
    ]
    lines = steady.markdown(rows).splitlines()
    assert lines[2] == "| calm | 60 | 30,000 | 480 | 0 | 0 | 2 | 0 |"
    assert lines[3] == "| storm | 10 | 5,000 | 80 | 3 503, 1 silent | 1 | 0 | 8 by a policy |"
    assert lines[4] == "| **all** | 70 | 35,000 | 560 | 4 | 1 | 2 | 8 |"
    assert {line.count("|") for line in lines} == {9}


# --- the program itself, beside a server that is not always there -----------------------------------------------------


class Server:
    """Answers HTTP and speaks first, on free ports of this machine; ``status`` is what it says next."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.ports = (0, 0)
        self.writers: set[asyncio.StreamWriter] = set()

    async def web(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(f"HTTP/1.1 {self.status}\r\nContent-Length: 2\r\n\r\nok".encode())
        writer.close()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        writer.write(b"220 speaker\r\n")
        with contextlib.suppress(OSError):
            while heard := await reader.read(100):
                writer.write(heard)
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Server"]:
        async with (
            await asyncio.start_server(self.web, "127.0.0.1", 0) as web,
            await asyncio.start_server(self.greet, "127.0.0.1", 0) as greeter,
        ):
            self.ports = tuple(each.sockets[0].getsockname()[1] for each in (web, greeter))  # type: ignore[assignment]
            yield self


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 (what changes is plain state)
            await asyncio.sleep(0.01)


def test_answers_are_counted_by_their_status() -> None:
    async def main() -> None:
        counts, stop, server = loader.Counts(), asyncio.Event(), Server()
        async with server.running():
            connection = loader.Connection("127.0.0.1", server.ports[0])
            task = asyncio.create_task(loader.ask(counts, stop, connection, 0.01))
            await until(lambda: counts.good > 3)
            server.status = "503 Service Unavailable"
            await until(lambda: counts.failed.get("503", 0) > 3)
            stop.set()
            await task
        assert counts.good > 3
        assert set(counts.failed) == {"503"}
        assert counts.failed["503"] > 3

    asyncio.run(main())


@pytest.mark.parametrize(("age", "kind", "other"), [(0.0, "aged", "early"), (60.0, "early", "aged")])
def test_connections_that_are_cut_are_told_by_their_age(age: float, kind: str, other: str) -> None:
    async def main() -> None:
        counts, stop, server = loader.Counts(), asyncio.Event(), Server()
        async with server.running():
            task = asyncio.create_task(loader.hold(counts, stop, "127.0.0.1", server.ports[1], age))
            await until(lambda: counts.good > 0)
            (writer,) = server.writers
            writer.close()
            # Another one is opened.
            await until(lambda: len(server.writers) == 2)
            stop.set()
            await task
        assert (counts.ended[kind], counts.ended[other], counts.failed) == (1, 0, {})

    asyncio.run(main())


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_a_program_that_is_told_to_end_says_its_last_count(closed_port: int) -> None:
    command = [sys.executable, str(Path(loader.__file__)), "ask", "127.0.0.1", str(closed_port), "--rate=50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        first = json.loads(program.stdout.readline())
        program.send_signal(signal.SIGTERM)
        lines, _ = program.communicate(timeout=10)
    *_, last = (json.loads(each) for each in lines.splitlines())
    assert program.returncode == 0
    assert (first["final"], last["final"]) == (False, True)
    # It goes on asking in its grace, and is refused all the time.
    assert last["failed"]["ConnectionRefusedError"] > first["failed"]["ConnectionRefusedError"] + 30
