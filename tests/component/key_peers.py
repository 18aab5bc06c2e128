"""Whoever serves an issuer's keys, well or badly: run inside network namespaces, with the standard library alone.

key_peers.py serve FILE PORT     answers HTTPS on every address as the JSON file says, read anew for each connection:
                                 {cert, key, status, headers, body, wait, drip}: ``wait`` seconds before the answer,
                                 ``drip`` sends a byte of the body each second. Each connection is a line of FILE.seen:
                                 the address that was reached, and once it has been asked the name in TLS, the request
                                 line and the Host.
"""

import contextlib
import json
import socket
import socketserver
import ssl
import sys
import threading
import time
from pathlib import Path
from typing import Any

GIVES_UP_AFTER = 30.0


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, told: Path, port: int) -> None:
        self._told, self._lock = told, threading.Lock()
        super().__init__(("0.0.0.0", port), socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        at = request.getsockname()[0]
        self._seen(at)
        told = json.loads(self._told.read_text())
        request.settimeout(GIVES_UP_AFTER)
        with contextlib.suppress(OSError):
            self._answer(request, at, told)

    def _answer(self, request: socket.socket, at: str, told: dict[str, Any]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(told["cert"], told["key"])
        names: list[str] = []
        context.sni_callback = lambda _, name, __: names.append(name or "")
        with context.wrap_socket(request, server_side=True) as stream:
            head = b""
            while b"\r\n\r\n" not in head:
                data = stream.recv(4096)
                if not data:
                    return
                head += data
            first, *lines = head.decode("latin-1").split("\r\n")
            host = next((each.partition(":")[2].strip() for each in lines if each.lower().startswith("host:")), "")
            self._seen(f"{at} {names[0] if names else ''} {first} {host}")
            time.sleep(told.get("wait", 0))
            body = told["body"].encode()
            headers = {"Content-Length": len(body), "Connection": "close", **told.get("headers", {})}
            said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            stream.sendall(f"HTTP/1.1 {told.get('status', 200)} X\r\n{said}\r\n".encode())
            if told.get("drip"):
                for each in body:
                    stream.sendall(bytes([each]))
                    time.sleep(1)
            stream.sendall(body)

    def _seen(self, line: str) -> None:
        with self._lock, self._told.with_suffix(".seen").open("a") as file:
            file.write(f"{line}\n")


def main() -> None:
    _, path, port = sys.argv[1:]
    with Server(Path(path), int(port)) as server:
        print("listening", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
