"""The programs that load a mesh for long: they ask, or hold connections open, and count what becomes of it.

`ask` asks HTTP at a steady rate over connections that are kept; `hold` keeps TCP connections to a server that speaks
first and answers what it hears. Each second they print all that they have counted so far as one line of JSON, and once
more at their end, marked `final`. Told to end, they go on for a while as careful programs do. It stands alone on
Python's own library, since its pod holds nothing else of this repository.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine, Sequence

PATIENCE = 5.0
"""Seconds for an answer."""
GRACE = 2.0
"""Seconds for which a program goes on after it was told to end."""
PAUSE = 0.2
"""Seconds until a connection that did not come about is tried again."""
_MESSAGE = b"still there?\n"
_GREETING = 13


class Counts:
    """What was seen so far."""

    def __init__(self) -> None:
        self.good = 0
        self.failed: dict[str, int] = {}
        self.ended = {"aged": 0, "early": 0}
        self.last = ""
        self.slowest = 0.0

    def failure(self, kind: str, why: object) -> None:
        """One more; the last is kept in words."""
        self.failed[kind] = self.failed.get(kind, 0) + 1
        self.last = f"{_now()} {kind}: {why}"

    def took(self, seconds: float) -> None:
        """One more good answer."""
        self.good += 1
        self.slowest = max(self.slowest, seconds)

    def line(self, *, final: bool) -> str:
        """For whoever reads the log."""
        said = {
            "good": self.good,
            "failed": self.failed,
            "ended": self.ended,
            "slowest": round(self.slowest, 4),
            "last": self.last,
            "final": final,
        }
        return json.dumps(said)


def _now() -> str:
    return time.strftime("%H:%M:%S", time.gmtime())


class Connection:
    """One HTTP/1.1 connection, kept as long as the other side keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._request = f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> int:
        """The status of one answer. Raises OSError, EOFError or ValueError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        if "content-length" not in fields:
            raise ValueError(f"an answer without a length: {head!r}")
        await reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self.close()
        return int(head.split()[1])

    def close(self) -> None:
        """The next question opens another one."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def ask(counts: Counts, stop: asyncio.Event, connection: Connection, period: float) -> None:
    """Asks every ``period`` seconds until it shall stop; what was missed is made up for, a second's worth at most."""
    due = time.monotonic()
    while not stop.is_set():
        due = max(due + period, time.monotonic() - 1)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                status = await connection.ask()
        except (TimeoutError, OSError, EOFError, ValueError) as error:
            connection.close()
            counts.failure("silent" if isinstance(error, TimeoutError) else type(error).__name__, repr(error))
        else:
            if status == 200:
                counts.took(time.monotonic() - begin)
            else:
                counts.failure(str(status), f"after {time.monotonic() - begin:.3f} s")
    connection.close()


async def knock(counts: Counts, stop: asyncio.Event, host: str, port: int) -> None:
    """Tries once a second to be greeted."""
    while not stop.is_set():
        begin = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                _, writer = await _greeted(host, port)
        except (TimeoutError, OSError, EOFError) as error:
            counts.failure("not greeted", repr(error))
        else:
            counts.took(time.monotonic() - begin)
            writer.close()
        await asyncio.sleep(1)


async def hold(counts: Counts, stop: asyncio.Event, host: str, port: int, age: float) -> None:
    """Keeps one connection, and opens another one when it ends."""
    while not stop.is_set():
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await _greeted(host, port)
        except (TimeoutError, OSError, EOFError) as error:
            counts.failure("not greeted", repr(error))
            await asyncio.sleep(PAUSE)
            continue
        begin = time.monotonic()
        try:
            await _talk(counts, stop, reader, writer)
        except TimeoutError:
            counts.failure("silent", f"a connection {time.monotonic() - begin:.1f} s old")
        except (OSError, EOFError) as error:
            old = time.monotonic() - begin
            counts.ended["aged" if old >= age else "early"] += 1
            if old < age:
                counts.last = f"{_now()} ended {old:.1f} s old: {error!r}"
        writer.close()


async def _greeted(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        await reader.readexactly(_GREETING)
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _talk(
    counts: Counts, stop: asyncio.Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Says something each second. Raises OSError or EOFError when the connection ends, TimeoutError for no answer."""
    while not stop.is_set():
        begin = time.monotonic()
        writer.write(_MESSAGE)
        async with asyncio.timeout(PATIENCE):
            await reader.readexactly(len(_MESSAGE))
        counts.took(time.monotonic() - begin)
        try:
            async with asyncio.timeout(1):
                await reader.readexactly(1)
        except TimeoutError:
            continue


async def _run(options: argparse.Namespace) -> None:
    counts, told, stop = Counts(), asyncio.Event(), asyncio.Event()
    # The first process of a pod has no default for this signal.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    tasks = [asyncio.create_task(each) for each in _work(options, counts, stop)]
    while not told.is_set():
        try:
            async with asyncio.timeout(1):
                await told.wait()
        except TimeoutError:
            print(counts.line(final=False), flush=True)
    await asyncio.sleep(GRACE)
    stop.set()
    await asyncio.gather(*tasks)
    print(counts.line(final=True), flush=True)


def _work(options: argparse.Namespace, counts: Counts, stop: asyncio.Event) -> list[Coroutine[None, None, None]]:
    host, port = options.host, options.port
    if options.command == "hold":
        return [hold(counts, stop, host, port, options.age) for _ in range(options.connections)]
    period = options.connections / options.rate
    work = [ask(counts, stop, Connection(host, port), period) for _ in range(options.connections)]
    return [*work, *([knock(counts, stop, host, options.knock)] if options.knock else [])]


def main(argv: Sequence[str]) -> None:
    """Runs until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asking, holding = commands.add_parser("ask"), commands.add_parser("hold")
    for one in (asking, holding):
        one.add_argument("host")
        one.add_argument("port", type=int)
        one.add_argument("--connections", type=int, default=8)
    asking.add_argument("--rate", type=float, required=True, help="requests a second over all connections")
    asking.add_argument("--knock", type=int, help="also try once a second to be greeted at this port")
    holding.add_argument("--age", type=float, required=True, help="from which age on an end is by age, in seconds")
    asyncio.run(_run(parser.parse_args(argv)))


if __name__ == "__main__":
    main(sys.argv[1:])
