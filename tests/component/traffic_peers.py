"""Both ends of traffic that limits count: run inside network namespaces, with the standard library alone.

traffic_peers.py program PORT   says of every request in its body what came: method, headers, size of the body, and what
                                came so far; on /slow/SECONDS it waits before it answers, on /trickle/SECONDS between
                                two halves; on /early it answers at the first bytes of the body
traffic_peers.py relay PORT HOST TO  makes the same call of another program and says what came of it; with
                                Authorization as it came, or as X-Instead says ("none": without)
traffic_peers.py calls FILE     the groups of calls of a JSON file at once, each on a connection of its own, its calls
                                one after the other (of one with "raw" these bytes are sent)

What came of each call is written: [status, headers, body, begun, seconds].
"""

import json
import socket
import ssl
import sys
import threading
import time
from http import client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

GIVES_UP_AFTER = 30.0
CHUNK = 16 * 1024


#: Path and size of the body of every request so far.
_SEEN: list[tuple[str, int]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece

    def _body(self) -> int:
        if self.headers.get("transfer-encoding", "") != "chunked":
            return len(self.rfile.read(int(self.headers.get("content-length", 0))))
        size = 0
        while length := int(self.rfile.readline(), 16):
            size += len(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return size

    def _early(self) -> None:
        """Answers once the first five bytes are there, and reads no further."""
        self.rfile.read(5)
        self.send_response(200)
        self.send_header("X-Early", "early")
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.close_connection = True

    def _answer(self) -> None:
        if self.path == "/early":
            return self._early()
        _, _, rest = self.path.partition("/")
        kind, _, wait = rest.partition("/")
        came = {
            "method": self.command,
            "headers": {k.lower(): v for k, v in self.headers.items()},
            "body": self._body(),
            "seen": _SEEN,
        }
        _SEEN.append((self.path, came["body"]))
        said = json.dumps(came).encode()
        if kind == "slow":
            time.sleep(float(wait))
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("X-Powered-By", "python")
        self.send_header("X-Program", "yes")
        self.end_headers()
        self.wfile.write(said[: len(said) // 2])
        if kind == "trickle":
            self.wfile.flush()
            time.sleep(float(wait))
        self.wfile.write(said[len(said) // 2 :])
        return None

    do_GET = do_POST = _answer  # noqa: N815 (names that the library calls)

    def log_message(self, *_: Any) -> None:
        pass


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    to = "", 0

    def do_GET(self) -> None:
        got = self.headers.get("authorization", "")
        sent = self.headers.get("x-instead", got)
        connection = client.HTTPConnection(*self.to, timeout=GIVES_UP_AFTER)
        connection.request("GET", self.path, headers={"authorization": sent} if sent not in {"", "none"} else {})
        answer = connection.getresponse()
        said = {"got": got, "status": answer.status, "said": answer.read().decode("latin-1")}
        connection.close()
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512
    address_family = socket.AF_INET6

    def handle_error(self, *_: Any) -> None:
        pass


def program(port: int) -> None:
    server = _Server(("::", port), _Handler)
    print("listening", flush=True)
    server.serve_forever()


def relay(port: int, host: str, to: int) -> None:
    _Relay.to = host, to
    _Server(("::", port), _Relay).serve_forever()


class _Connection(client.HTTPConnection):
    """A connection of one caller, in mutual TLS where it has an identity."""

    def __init__(self, call: dict[str, Any]) -> None:
        super().__init__(call["target"], call["port"], timeout=GIVES_UP_AFTER, source_address=(call["source"], 0))
        self._identity = call["identity"]

    def connect(self) -> None:
        super().connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._identity:
            chain, key, roots = self._identity
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.load_verify_locations(roots)
            context.load_cert_chain(chain, key)
            context.set_alpn_protocols(["ringfence"])
            self.sock = context.wrap_socket(self.sock)


def _once(connection: _Connection, call: dict[str, Any]) -> tuple[int, dict[str, str], str, float, float]:
    begun = time.monotonic()
    try:
        body: Any = b"x" * call["size"] if call["size"] else None
        if call["chunked"]:
            body = (b"x" * min(CHUNK, call["size"] - n) for n in range(0, call["size"], CHUNK))
        connection.request(call["method"], call["path"], body, dict(call["headers"]), encode_chunked=call["chunked"])
        answer = connection.getresponse()
        text = answer.read().decode("latin-1")
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, text
    except (OSError, client.HTTPException) as error:
        connection.close()
        found = 0, {}, repr(error)
    return *found, begun, time.monotonic() - begun


def _raw(connection: _Connection, call: dict[str, Any]) -> tuple[int, dict[str, str], str, float, float]:
    """Sends bytes as they are; the body is what comes, until a second has passed in which nothing more did."""
    begun = time.monotonic()
    connection.connect()
    connection.sock.sendall(call["raw"].encode("latin-1"))
    connection.sock.settimeout(10)
    text = b""
    try:
        while data := connection.sock.recv(65536):
            text += data
            connection.sock.settimeout(1)
    except OSError:
        pass
    connection.close()
    first = text.split(b" ", 2)
    status = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
    return status, {}, text.decode("latin-1"), begun, time.monotonic() - begun


def _group(calls: list[dict[str, Any]], found: list[Any]) -> None:
    connection = _Connection(calls[0])
    for call in calls:
        ends = time.monotonic() + call["seconds"]
        for number in range(call["times"]):
            if call["seconds"] and number and time.monotonic() > ends:
                break
            found.append((_raw if call["raw"] else _once)(connection, call))
            time.sleep(call["pause"])
    connection.close()


def calls(groups: list[list[dict[str, Any]]]) -> None:
    found: list[list[Any]] = [[] for _ in groups]
    threads = [threading.Thread(target=_group, args=each) for each in zip(groups, found, strict=True)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(json.dumps(found))


def main(what: str, argument: str, *more: str) -> None:
    if what == "program":
        program(int(argument))
    elif what == "relay":
        host, to = more
        relay(int(argument), host, int(to))
    else:
        calls(json.loads(Path(argument).read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
