"""Load on the webhook for as long as asked, counting every answer that is missing or wrong.

Clients do what the API server's does and nothing kinder: Go's HTTP client keeps connections, opens another one when it
finds a kept one closed before it has written, and gives up when a connection ends after that (a POST is not repeated).
"""

import asyncio
import contextlib
import itertools
import json
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from e2e.cluster import ports
from tests.component.requests_as import Api

#: Connections that ask at once, and the seconds after which they give up: as much as an API server ever waits.
_WORKERS = 8
PATIENCE = 30
#: Seconds after which an answer is late (what the configurations say), and how many times what most answers take a
#: machine with other work may make of one: where most take longer than 30 ms, it is the machine that is slow.
LATE, _SLOW = 3.0, 100


@dataclass(frozen=True, slots=True)
class Question:
    """A body, and what must come of it: "" for admission, else words that the refusal must hold."""

    body: bytes
    refused: str = ""


@dataclass
class Tally:
    """What came of the requests. Lists hold the first answers that are wrong, for people."""

    done: int = 0
    failed: list[str] = field(default_factory=list)
    passed_wrongly: list[str] = field(default_factory=list)
    refused_wrongly: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def judge(self, question: Question, allowed: bool, text: str, seconds: float) -> None:
        """Count an answer."""
        self.done += 1
        self.seconds.append(seconds)
        if allowed and question.refused:
            self.passed_wrongly.append(text)
        elif not allowed and not question.refused:
            self.refused_wrongly.append(text)
        elif question.refused not in text:
            self.failed.append(f"refused for another reason: {text}")

    def fail(self, why: str) -> None:
        """Count a request without an answer."""
        self.done += 1
        self.failed.append(why)

    @property
    def wrong(self) -> tuple[list[str], list[str], list[str]]:
        """All that must be empty."""
        return self.failed, self.passed_wrongly, self.refused_wrongly

    @property
    def late(self) -> list[float]:
        """What took too long: more than 3 s, and a hundred times as long as most took."""
        most = max(LATE, _SLOW * statistics.median(self.seconds))
        return [each for each in self.seconds if each > most]

    def __str__(self) -> str:
        p50, p99 = (statistics.quantiles(self.seconds, n=100)[each] * 1000 for each in (49, 98))
        return (
            f"{self.done:,} (p50 {p50:.1f} ms, p99 {p99:.1f} ms; {len(self.failed)} failed, "
            f"{len(self.passed_wrongly)} passed wrongly, {len(self.refused_wrongly)} refused wrongly)"
        )


class Endpoints:
    """Where replicas serve now, as a Service knows it: one that is told to end is taken out before it hears of it."""

    def __init__(self) -> None:
        self._ports: tuple[int, ...] = ()
        self._turn = itertools.count()

    def add(self, port: int) -> None:
        """A replica is ready."""
        self._ports = (*self._ports, port)

    def remove(self, port: int) -> None:
        """No new connections to it."""
        self._ports = tuple(each for each in self._ports if each != port)

    def next(self) -> int:
        """Where the next connection goes: to each in turn."""
        known = self._ports
        return known[next(self._turn) % len(known)]


class Balancer:
    """Hands connections to replicas, as a Service's address does on a node: bytes in, bytes out."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        (self.port,) = ports.free()

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        async with server:
            await stop.wait()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._endpoints.next())
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class _Connection:
    """One kept connection to a replica."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._last = False

    @property
    def usable(self) -> bool:
        """Whether nobody has closed it or announced to."""
        return not self._last and not self._reader.at_eof() and not self._writer.is_closing()

    async def ask(self, body: bytes) -> Mapping[str, Any]:
        """The response of a review; raises OSError or EOFError without one, ValueError when it is none."""
        head = f"POST /validate?timeout={PATIENCE}s HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
        text = await self._reader.readexactly(length)
        self._last = "connection: close" in answer
        if not answer.startswith("http/1.1 200"):
            raise ValueError(f"{answer.splitlines()[0]}: {text.decode()}")
        response: Mapping[str, Any] = json.loads(text)["response"]
        return response

    def close(self) -> None:
        self._writer.close()


class Direct:
    """Reviews over TLS, straight to the replicas, at ``rate`` a second (None: as many as there can be)."""

    def __init__(self, endpoints: Endpoints, context: ssl.SSLContext, questions: Sequence[Question]) -> None:
        self._endpoints, self._context = endpoints, context
        self._questions = itertools.cycle(questions)
        self._due = 0.0
        #: Of what runs, or of the last run.
        self.tally = Tally()

    async def run(self, stop: asyncio.Event, rate: float | None) -> Tally:
        """Until told to stop."""
        self.tally = tally = Tally()
        self._due = time.monotonic()
        await asyncio.gather(*(self._work(stop, rate, tally) for _ in range(_WORKERS)))
        return tally

    async def _work(self, stop: asyncio.Event, rate: float | None, tally: Tally) -> None:
        connection = None
        while not stop.is_set():
            if rate is not None:
                self._due = max(self._due + 1 / rate, time.monotonic() - 1)
                await asyncio.sleep(self._due - time.monotonic())
            question = next(self._questions)
            begun = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    if connection is None or not connection.usable:
                        connection = await self._connect(connection)
                    response = await connection.ask(question.body)
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                tally.fail(f"{type(error).__name__}: {error}")
                connection = None
            else:
                tally.judge(question, response["allowed"], json.dumps(response), time.monotonic() - begun)
        if connection is not None:
            connection.close()

    async def _connect(self, former: _Connection | None) -> _Connection:
        if former is not None:
            former.close()
        port = self._endpoints.next()
        return _Connection(
            *await asyncio.open_connection("127.0.0.1", port, ssl=self._context, server_hostname="localhost")
        )


class Created:
    """Pods created as dry runs through the API server, from threads of their own."""

    def __init__(self, api: Api, pods: Sequence[tuple[Mapping[str, Any], str]], threads: int = 2) -> None:
        """``pods`` with what must come of them, as in Question."""
        self.tally = Tally()
        self._api = api
        self._pods = itertools.cycle((pod, Question(b"", refused)) for pod, refused in pods)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            pod, question = next(self._pods)
            begun = time.monotonic()
            try:
                reply = self._api.create(pod, dry_run=True)
            except OSError as error:
                self.tally.fail(f"{type(error).__name__}: {error}")
                continue
            if reply.status >= 500:
                self.tally.fail(reply.message)
            else:
                self.tally.judge(question, reply.ok, reply.message, time.monotonic() - begun)


class InBackground:
    """An event loop in a thread, for what must go on while the test does other things."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for each in left:
            each.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()

    def start(self, work: Callable[[asyncio.Event], Any]) -> Any:
        """Begin; a Future of the result."""
        return asyncio.run_coroutine_threadsafe(work(self.stop), self.loop)

    def end(self) -> None:
        """Tell all to stop."""
        self.loop.call_soon_threadsafe(self.stop.set)
