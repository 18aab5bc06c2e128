"""The program in the pods of the mesh: it serves in the clear, as programs do that leave security to their proxy.

`serve` answers HTTP on 8080 and greets on 9000, where the server speaks first. `call` asks once and prints one line of
JSON: how it ended. `load` asks all the time and prints each second what it has seen. It stands alone on Python's own
library, since its pod holds nothing else of this repository.
"""

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP_PORT, GREETING_PORT = 8080, 9000
GREETING = b"220 speaker\r\n"
GRACE = 2.0
"""Seconds for which a server goes on after it was told to end."""
PATIENCE = 5.0
"""Seconds for an answer."""


class Handler(BaseHTTPRequestHandler):
    """Says what came in: path, and what the caller's proxy has said of the caller."""

    protocol_version = "HTTP/1.1"
    # Answers go out whole and at once: otherwise each waits for the acknowledgement of its header.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        """Answers every path."""
        said = {"path": self.path, "from": self.headers.get("x-forwarded-client-cert", ""), "peer": self.client_address}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Swallows what is sent and answers how much it was."""
        left = length = int(self.headers.get("content-length", "0"))
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)) or b"\0" * left)
        self.send_response(200)
        self.send_header("content-length", str(len(str(length))))
        self.end_headers()
        self.wfile.write(str(length).encode())

    def log_message(self, *_: object) -> None:
        """Nothing: proxies have the log."""


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 256

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve() -> None:
    """Serves until it is told to end."""
    # What is told to end hears of it before its callers do: it answers those that come meanwhile.
    signal.signal(signal.SIGTERM, lambda *_: threading.Timer(GRACE, os._exit, [0]).start())
    web = _Server(("::", HTTP_PORT), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    with socket.create_server(("::", GREETING_PORT), family=socket.AF_INET6, dualstack_ipv6=True) as greeter:
        while True:
            connection, _ = greeter.accept()
            threading.Thread(target=_greet, args=(connection,), daemon=True).start()


def _greet(connection: socket.socket) -> None:
    """Says hello and then whatever it hears, until the other side has enough."""
    try:
        with connection:
            connection.sendall(GREETING)
            while heard := connection.recv(65536):
                connection.sendall(heard)
    except OSError:
        return


def call(host: str, port: int, path: str, method: str, headers: dict[str, str]) -> dict[str, object]:
    """One exchange: ``outcome`` is a status of HTTP, or ``closed``, ``refused``, ``silent``, ``no name``."""
    begin = time.monotonic()
    try:
        outcome, said = _greeted(host, port) if path == "-" else _asked(host, port, path, method, headers)
    except TimeoutError as error:
        outcome, said = "silent", str(error)
    except ConnectionRefusedError as error:
        outcome, said = "refused", str(error)
    except socket.gaierror as error:
        outcome, said = "no name", str(error)
    except (OSError, http.client.HTTPException) as error:
        outcome, said = "closed", repr(error)
    return {"outcome": outcome, "said": said, "seconds": round(time.monotonic() - begin, 4)}


def _asked(host: str, port: int, path: str, method: str, headers: dict[str, str]) -> tuple[str, str]:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return str(answer.status), answer.read().decode(errors="replace")
    finally:
        connection.close()


def _greeted(host: str, port: int) -> tuple[str, str]:
    with socket.create_connection((host, port), PATIENCE) as connection:
        heard = connection.recv(len(GREETING))
    return ("greeted", heard.decode()) if heard == GREETING else ("closed", repr(heard))


class Load:
    """Asks at a steady rate over a few connections that are kept. Counts every answer by its status."""

    def __init__(self, host: str, port: int, workers: int) -> None:
        self._host, self._port, self._workers = host, port, workers
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._slowest = 0.0
        self._last = ""

    def run(self, rate: float) -> None:
        """Until it is told to end; prints each second."""
        with ThreadPoolExecutor(self._workers) as pool:
            for _ in range(self._workers):
                pool.submit(self._work, self._workers / rate)
            while True:
                time.sleep(1)
                print(json.dumps(self.report()), flush=True)

    def report(self) -> dict[str, object]:
        """What was seen so far."""
        with self._lock:
            return {"counts": dict(self._counts), "slowest": round(self._slowest, 4), "last": self._last}

    def _work(self, period: float) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        due = time.monotonic()
        while True:
            due = max(due + period, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))
            begin, last = time.monotonic(), ""
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                answer.read()
                outcome = str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                outcome, last = type(error).__name__, f"{time.strftime('%H:%M:%S', time.gmtime())} {error!r}"
            with self._lock:
                self._counts[outcome] = self._counts.get(outcome, 0) + 1
                self._slowest = max(self._slowest, time.monotonic() - begin)
                self._last = last or self._last


async def _many(options: argparse.Namespace) -> list[dict[str, object]]:
    headers = dict(each.split("=", 1) for each in options.header)
    asked = (options.host, options.port, options.path, options.method, headers)
    return list(await asyncio.gather(*(asyncio.to_thread(call, *asked) for _ in range(options.times))))


def main(argv: Sequence[str]) -> None:
    """Serves, asks, or asks all the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve")
    for name in ("call", "load"):
        one = commands.add_parser(name)
        one.add_argument("host")
        one.add_argument("port", type=int)
        one.add_argument("path", nargs="?", default="/", help="- for a server that speaks first")
        one.add_argument("--rate", type=float, default=100.0, help="requests a second")
        one.add_argument("--workers", type=int, default=4)
        one.add_argument("--times", type=int, default=1)
        one.add_argument("--method", default="GET")
        one.add_argument("--header", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args(argv)
    if options.command == "serve":
        serve()
    elif options.command == "load":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # threads are at work
        Load(options.host, options.port, options.workers).run(options.rate)
    else:
        for answer in asyncio.run(_many(options)):
            print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
