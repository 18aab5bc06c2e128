"""HTTP/1.1 on both sides: connections that are kept, chunked bodies with trailers, WebSockets, large bodies."""

import base64
import hashlib
import http.client
import json
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 1 << 20
_WEBSOCKET = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
PATIENCE = 10.0


class Handler(BaseHTTPRequestHandler):
    """Answers every path; says who called, and what was in the trailers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    farewells: list[str] = []  # noqa: RUF012  # one list for all connections is what is meant

    def do_GET(self) -> None:
        """A body of /bytes/N, an echo at /ws, what was told at /farewell/NAME; else who called."""
        word, _, rest = self.path.strip("/").partition("/")
        if word == "bytes":
            self._bytes(int(rest))
        elif word == "ws":
            self._websocket()
        else:
            if word == "farewell":
                self.farewells.append(rest)
            who = self.headers.get("x-forwarded-client-cert", "")
            said = {"from": who, "farewells": self.farewells, "pod": os.uname().nodename}
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def do_POST(self) -> None:
        """Takes any body; the answer is chunked, and repeats the trailer x-sum in its own."""
        if "chunked" in self.headers.get("transfer-encoding", ""):
            body, trailers = read_chunks(self.rfile)
            length = len(body)
        else:
            length, trailers = self._swallow(int(self.headers.get("content-length", "0"))), {}
        text = str(length).encode()
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-sum")
        self.end_headers()
        last = f"0\r\nx-sum: {trailers.get('x-sum', 'none')}\r\n\r\n"
        self.wfile.write(f"{len(text):x}\r\n".encode() + text + b"\r\n" + last.encode())

    def _swallow(self, length: int) -> int:
        buffer, left = memoryview(bytearray(PIECE)), length
        while left > 0 and (taken := self.rfile.readinto(buffer[: min(left, PIECE)])):
            left -= taken
        return length - left

    def _bytes(self, length: int) -> None:
        self.send_response(200)
        self.send_header("content-length", str(length))
        self.end_headers()
        piece = bytes(PIECE)
        for start in range(0, length, PIECE):
            self.wfile.write(piece[: min(PIECE, length - start)])

    def _websocket(self) -> None:
        self.send_response(101)
        self.send_header("connection", "Upgrade")
        self.send_header("upgrade", "websocket")
        self.send_header("sec-websocket-accept", _accept(self.headers["sec-websocket-key"]))
        self.end_headers()
        while (text := _frame(self.rfile)) is not None:
            self.wfile.write(bytes((0x81, len(text))) + text)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing: proxies have the log."""


class Server(ThreadingHTTPServer):
    """Listens on all addresses of both families."""

    address_family = socket.AF_INET6
    daemon_threads = True

    def server_bind(self) -> None:
        """IPv4 too."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


def serve(port: int) -> None:
    """Serves in a thread."""
    threading.Thread(target=Server(("::", port), Handler).serve_forever, daemon=True).start()


def read_chunks(stream: Any) -> tuple[bytes, dict[str, str]]:
    """A chunked body and its trailers (RFC 9112 §7.1)."""
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    trailers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        trailers[name.lower()] = value.strip()
    return body, trailers


def _accept(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + _WEBSOCKET).encode(), usedforsecurity=False).digest()).decode()


def _frame(stream: Any) -> bytes | None:
    """The text of a small frame; None when the other side closes (RFC 6455 §5.2)."""
    head = stream.read(2)
    if len(head) < 2 or head[0] & 0x0F == 8:
        return None
    mask = stream.read(4) if head[1] & 0x80 else bytes(4)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(stream.read(head[1] & 0x7F)))


# --- callers ---------------------------------------------------------------------------------------------------------


def ask(host: str, port: int, path: str) -> dict[str, Any]:
    """One request: its status, and what the program said."""
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    finally:
        connection.close()
    return {"outcome": str(answer.status), "said": json.loads(body) if answer.status == 200 else body}


def kept(host: str, port: int) -> dict[str, Any]:
    """Three requests on one connection; the one between sends a chunked body with a trailer.

    How many connections a proxy then keeps to the program is its own affair.
    """
    with socket.create_connection((host, port), PATIENCE) as connection:
        stream = connection.makefile("rwb")
        first = _exchange(stream, f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")
        if first["status"] != "200":
            return {"outcome": first["status"]}
        head = f"POST / HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nte: trailers\r\n"
        second = _exchange(stream, head + "\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nx-sum: abc\r\n\r\n")
        third = _exchange(stream, f"GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")
    return {
        "outcome": third["status"],
        "taken": second["body"],
        "trailers": second["trailers"],
    }


def _exchange(stream: Any, request: str) -> dict[str, Any]:
    stream.write(request.encode())
    stream.flush()
    status = stream.readline().decode().split(" ", 2)
    if len(status) < 2:
        raise ConnectionError("the connection ended without an answer")
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    trailers: dict[str, str] = {}
    if "chunked" in headers.get("transfer-encoding", ""):
        body, trailers = read_chunks(stream)
    else:
        body = stream.read(int(headers.get("content-length", "0")))
    return {"status": status[1], "body": body.decode(), "trailers": trailers}


def large(host: str, port: int, size: int) -> dict[str, Any]:
    """A body of so many bytes up, then one down; how many came, and seconds for each way."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    piece = bytes(PIECE)
    pieces = (piece[: min(PIECE, size - start)] for start in range(0, size, PIECE))
    connection.request("POST", "/", body=pieces, headers={"content-length": str(size)})
    up = int(connection.getresponse().read())
    between = time.monotonic()
    connection.request("GET", f"/bytes/{size}")
    answer, down, buffer = connection.getresponse(), 0, bytearray(PIECE)
    while taken := answer.readinto(buffer):
        down += taken
    seconds = [round(between - begin, 1), round(time.monotonic() - between, 1)]
    return {"outcome": str(answer.status), "up": up, "down": down, "seconds": seconds}


def websocket(host: str, port: int, seconds: float) -> dict[str, Any]:
    """Upgrades, and has texts repeated for so long; how many were."""
    with socket.create_connection((host, port), PATIENCE) as connection:
        stream = connection.makefile("rwb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET /ws HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
        stream.write(f"{head}sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode())
        stream.flush()
        status = stream.readline().decode().split(" ", 2)
        if len(status) < 2:
            raise ConnectionError("the connection ended without an answer")
        if status[1] != "101":
            return {"outcome": status[1]}
        while stream.readline().strip():
            pass
        return {"outcome": "101", "echoed": _talk(stream, seconds)}


def _talk(stream: Any, seconds: float) -> int:
    end, echoed = time.monotonic() + seconds, 0
    while echoed == 0 or time.monotonic() < end:
        text, mask = f"text {echoed}".encode(), os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(text))
        stream.write(struct.pack("!BB4s", 0x81, 0x80 | len(text), mask) + masked)
        stream.flush()
        if _frame(stream) != text:
            raise ConnectionError(f"text {echoed} did not come back")
        echoed += 1
        time.sleep(0.2)
    return echoed
