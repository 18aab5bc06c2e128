"""What the pods run: `serve` answers all kinds of calls, `wait` stays to be asked, `ask` makes one call and prints one
line of JSON: `outcome` is a status, or `closed`, `refused`, `silent`, `no name`.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from e2e.traffic import frames, lines, streams, web

WEB, FRAMES, STREAMS, LINES, OPEN_LINES, DATAGRAMS = 8080, 8081, 8082, 9000, 9001, 9999
GRACE = 2.0
"""Seconds for which a server goes on after it was told to end."""


def serve() -> None:
    """Serves all kinds until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: threading.Timer(GRACE, os._exit, [0]).start())
    frames.serve(FRAMES)
    kept = streams.serve(STREAMS)
    lines.serve(LINES)
    lines.serve(OPEN_LINES)
    lines.serve_datagrams(DATAGRAMS)
    web.serve(WEB)
    kept.wait_for_termination()


def wait(farewell: str) -> None:
    """Does nothing until it is told to end; then waits for a second and says farewell to a server (host:port)."""

    def end() -> None:
        if farewell:
            time.sleep(1)
            host, _, port = farewell.rpartition(":")
            web.ask(host, int(port), f"/farewell/{socket.gethostname()}")
        os._exit(0)

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
    while True:
        signal.pause()


def ask(options: argparse.Namespace) -> dict[str, Any]:
    """One call."""
    host, port, seconds = options.host, options.port, options.seconds
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "web": lambda: web.ask(host, port, options.path),
        "kept": lambda: web.kept(host, port),
        "large": lambda: web.large(host, port, options.size),
        "websocket": lambda: web.websocket(host, port, seconds),
        "frames": lambda: frames.ask(host, port, 20),
        "streams": lambda: streams.ask(host, port, seconds),
        "lines": lambda: lines.greeted(host, port, seconds),
        "datagram": lambda: lines.datagram(host, port),
        "ping": lambda: lines.ping(host),
        "name": lambda: lines.name(host),
        "name-by-tcp": lambda: lines.name_by_tcp(options.server, host),
    }
    begin = time.monotonic()
    try:
        found = kinds[options.kind]()
    except TimeoutError as error:
        found = {"outcome": "silent", "why": str(error)}
    except ConnectionRefusedError as error:
        found = {"outcome": "refused", "why": str(error)}
    except socket.gaierror as error:
        found = {"outcome": "no name", "why": str(error)}
    except (OSError, http.client.HTTPException) as error:
        found = {"outcome": "closed", "why": repr(error)}
    return {**found, "took": round(time.monotonic() - begin, 2)}


def main(argv: Sequence[str]) -> int:
    """Serves, waits or asks; 1 when what is asked does not come to `--expect` in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve")
    commands.add_parser("wait").add_argument("--farewell", default="", help="host:port of a server")
    asking = commands.add_parser("ask")
    asking.add_argument("kind")
    asking.add_argument("host")
    asking.add_argument("port", type=int, nargs="?", default=0)
    asking.add_argument("--path", default="/")
    asking.add_argument("--size", type=int, default=1 << 20, help="bytes")
    asking.add_argument("--seconds", type=float, default=0)
    asking.add_argument("--server", default="", help="of names")
    asking.add_argument("--expect", default="", help="an outcome")
    asking.add_argument("--within", type=float, default=20, help="seconds in which it may come to that")
    options = parser.parse_args(argv)
    if options.command == "serve":
        serve()
    elif options.command == "wait":
        wait(options.farewell)
    else:
        end = time.monotonic() + options.within
        while True:
            found = ask(options)
            print(json.dumps(found), flush=True)
            if not options.expect or found["outcome"] == options.expect:
                break
            if time.monotonic() > end:
                return 1
            time.sleep(0.5)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
