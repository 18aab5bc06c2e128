"""A load generator for webhooks: keep-alive connections that ask again as soon as they are answered."""

import asyncio
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from bench import rig
from bench.servers import Running

#: What is in every answer of a webhook.
ALLOWED, REFUSED = b'"allowed":true', b'"allowed":false'


@dataclass(frozen=True, slots=True)
class Question:
    """A body to send, and what its answer must hold: one that is wrong ends the measurement."""

    body: bytes
    mark: bytes


@dataclass
class Figures:
    """Of all rounds of one server at one concurrency; ``cpu`` in seconds of the server's processor time."""

    rates: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, times: list[float], seconds: float, cpu: float) -> None:
        """One round: its reviews, how long it took, and the processor time of the server."""
        self.rates.append(len(times) / seconds)
        self.times += times
        self.cpu += cpu

    @property
    def rate(self) -> float:
        """Reviews a second: the median of the rounds."""
        return statistics.median(self.rates)

    def share(self, other: "Figures") -> float:
        """By how many times the other's rate: the median of the ratios of rounds, each of one moment."""
        return statistics.median(own / base for own, base in zip(self.rates, other.rates, strict=True))

    @property
    def cpu_per_thousand(self) -> float:
        """Seconds of processor time for 1,000 reviews."""
        return self.cpu / len(self.times) * 1000

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000

    def __str__(self) -> str:
        times = f"p50 {self.quantile(0.5):.2f} ms, p99 {self.quantile(0.99):.2f} ms"
        return f"{self.rate:,.0f}/s, {times}, {self.cpu_per_thousand:.2f} CPU s a 1,000"


class _Client(asyncio.Protocol):
    """One connection."""

    def __init__(
        self, request: bytes, wanted: tuple[bytes, bytes], times: list[float], more: Callable[[], bool]
    ) -> None:
        self._request, self._times, self._more = request, times, more
        status, self._mark = wanted
        self._head = b"HTTP/1.1 " + status
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the others."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        """Ask once; every answer asks again."""
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count a complete answer."""
        self._pending += data
        head, separator, body = self._pending.partition(b"\r\n\r\n")
        if not separator or not _complete(head.lower(), body):
            return
        self._pending = b""
        now = time.perf_counter()
        if not head.startswith(self._head) or self._mark not in body:
            self.done.set_exception(RuntimeError(f"answered {(head + separator + body).decode()}"))
            return
        self._times.append(now - self._sent)
        if self._more():
            self.ask()
        elif not self.done.done():
            self.done.set_result(None)
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that breaks is a failed measurement."""
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the server closed the connection"))


def _complete(head: bytes, body: bytes) -> bool:
    """Whether the body is all here (RFC 9112 §6): by its length, or by the chunk that ends it."""
    length = head.partition(b"content-length: ")[2].split(b"\r\n")[0]
    return len(body) >= int(length) if length else body.endswith(b"\r\n0\r\n\r\n")


def run(
    server: Running, question: Question, clients: int, *, seconds: float = 0.0, reviews: int = 0
) -> tuple[list[float], float, float]:
    """Ask for so many ``seconds``, or for so many ``reviews``, over connections that are open before.

    Returns the seconds of each review, those of all, and the processor time of the server.
    """
    return uvloop.run(_run(server, question, clients, seconds, reviews))


async def _run(
    server: Running, question: Question, clients: int, seconds: float, reviews: int
) -> tuple[list[float], float, float]:
    times: list[float] = []
    until = float("inf")

    def more() -> bool:
        return len(times) < reviews if reviews else time.perf_counter() < until

    made = [await _client(server, question, times, more) for _ in range(clients)]
    start, cpu = time.perf_counter(), rig.cpu_seconds(server.pid)
    until = start + seconds
    for each in made:
        each.ask()
    await asyncio.gather(*(each.done for each in made))
    return times, time.perf_counter() - start, rig.cpu_seconds(server.pid) - cpu


async def _client(server: Running, question: Question, times: list[float], more: Callable[[], bool]) -> _Client:
    head = (
        f"POST {server.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(question.body)}\r\n\r\n"
    )
    request = head.encode() + question.body
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: _Client(request, (server.status, question.mark), times, more),
        "127.0.0.1",
        server.port,
        ssl=server.context,
        server_hostname="localhost",
    )
    return client


def memory(server: Running) -> float:
    """Resident memory of a server now, in MiB."""
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024
