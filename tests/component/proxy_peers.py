"""The programs at both ends of a proxy under test: run inside network namespaces, with the standard library alone.

proxy_peers.py program PORT          answers every connection: HTTP where a request comes, else it speaks first
proxy_peers.py calls FILE [UID]      makes the calls of a JSON file; writes what came of each to standard output
proxy_peers.py pods PORT FILE        stands for all pods of a JSON file (address: certificate, key, roots), and for
                                     whoever has no proxy: says whether it was spoken to in mutual TLS, and by whom
"""

import asyncio
import json
import os
import socket
import ssl
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

GREETING = b"program\n"
#: Seconds that the program waits for a request before it speaks first, and that a caller waits for an end.
SPEAKS_AFTER, GIVES_UP_AFTER = 1.0, 20.0
AT_ONCE = 30


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        data = await asyncio.wait_for(reader.read(4096), SPEAKS_AFTER)
    except TimeoutError:
        data = b""
    if data.startswith(b"GET /headers"):
        writer.write(_shown(data))
    elif data.startswith(b"GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n" + GREETING)
    elif data.startswith(b"POST "):
        # All that came, trailers among it, as a chunked body with a trailer.
        while not data.endswith(b"\r\n\r\n") or data.count(b"\r\n\r\n") < 2:
            data += await reader.read(4096)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\nConnection: close\r\n\r\n"
        writer.write(head + f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\nx-end: answered\r\n\r\n")
    else:
        writer.write(GREETING)
    try:
        await writer.drain()
        await reader.read()
    except OSError:
        pass
    writer.close()


def _shown(request: bytes) -> bytes:
    """The answer that holds the request itself."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(request)}\r\nConnection: close\r\n\r\n"
    return head.encode() + request


async def program(port: int) -> None:
    server = await asyncio.start_server(_answer, None, port, backlog=512)
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


@cache
def _context(chain: str, key: str, roots: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(roots)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(["ringfence"])
    return context


@cache
def _own_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def _call(call: dict[str, Any]) -> str:
    secure = _context(*call["identity"]) if call["identity"] else None
    reader, writer = await asyncio.open_connection(
        call["target"], call["port"], local_addr=(call["source"], 0) if call["source"] else None, ssl=secure
    )
    try:
        if call["http"]:
            head = f"GET {call.get('path', '/')} HTTP/1.1\r\nHost: program\r\n{call.get('headers', '')}"
            writer.write(f"{head}Connection: close\r\n\r\n".encode())
        elif call["first"]:
            writer.write(b"hello\n")
        data = await reader.read(4096)
    finally:
        writer.close()
    if call["http"] and call.get("told"):
        return data.decode().partition("\r\n\r\n")[2] if data.startswith(b"HTTP/1.1 200") else "denied"
    if call["http"]:
        return "allowed" if data.startswith(b"HTTP/1.1 200") else "denied" if _refused(data) else f"error: {data!r}"
    if call.get("told"):
        return data.decode() or "denied"
    return "allowed" if data.startswith(GREETING) else "denied" if not data else f"error: {data!r}"


def _refused(data: bytes) -> bool:
    return not data or data.startswith(b"HTTP/1.1 403")


async def _came_of(call: dict[str, Any], gate: asyncio.Semaphore) -> str:
    async with gate:
        try:
            return await asyncio.wait_for(_call(call), GIVES_UP_AFTER)
        except TimeoutError:
            return "error: no end"
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError, EOFError):
            return "denied"
        except OSError as error:
            return f"error: {error}"


async def calls(wanted: list[dict[str, Any]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    found = await asyncio.gather(*(_came_of(call, gate) for call in wanted))
    print(json.dumps(found))


SO_ORIGINAL_DST = 80


def _original(connection: socket.socket) -> str:
    """The address that a redirected connection was made to (IPv4)."""
    data = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(data[4:8])


def _serve(connection: socket.socket, identities: dict[str, list[str]]) -> None:
    connection.settimeout(GIVES_UP_AFTER)
    try:
        identity = identities.get(_original(connection))
        spoken: socket.socket = connection
        told = "plain"
        if connection.recv(1, socket.MSG_PEEK) == b"\x16" and identity:
            spoken = _server_context(*identity).wrap_socket(connection, server_side=True)
            names = (spoken.getpeercert() or {}).get("subjectAltName", ())
            told = f"mesh {names[0][1]}"
        asked = spoken.recv(4096)
        body = told.encode()
        if asked.startswith(b"CONNECT "):
            spoken.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + body + b" to " + asked.split(b" ")[1] + b": ")
            body = asked = asked.partition(b"\r\n\r\n")[2] or spoken.recv(4096)
        if asked.startswith(b"GET /headers"):
            body = asked
        if asked.startswith(b"GET "):
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            body = head.encode() + body
        if asked:
            spoken.sendall(body)
        spoken.close()
    except (OSError, ssl.SSLError):
        connection.close()


@cache
def _server_context(chain: str, key: str, roots: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(roots)
    context.load_cert_chain(chain, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["ringfence"])
    return context


def pods(port: int, identities: dict[str, list[str]]) -> None:
    server = socket.create_server(("0.0.0.0", port), backlog=512)
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection, identities), daemon=True).start()


def main(what: str, *rest: str) -> None:
    if what == "program":
        asyncio.run(program(int(rest[0])))
    elif what == "pods":
        pods(int(rest[0]), json.loads(Path(rest[1]).read_text()))
    else:
        wanted = json.loads(Path(rest[0]).read_text())
        if len(rest) > 1:
            os.setuid(int(rest[1]))
        asyncio.run(calls(wanted))


if __name__ == "__main__":
    main(*sys.argv[1:])
