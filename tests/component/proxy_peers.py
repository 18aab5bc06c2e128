"""The programs at both ends of a proxy under test: run inside network namespaces, with the standard library alone.

proxy_peers.py program PORT          answers every connection: HTTP where a request comes, else it speaks first
proxy_peers.py calls FILE            makes the calls of a JSON file; writes what came of each to standard output
"""

import asyncio
import json
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import Any

GREETING = b"program\n"
#: Seconds that the program waits for a request before it speaks first, and that a caller waits for an end.
SPEAKS_AFTER, GIVES_UP_AFTER = 0.3, 20.0
AT_ONCE = 60


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        data = await asyncio.wait_for(reader.read(4096), SPEAKS_AFTER)
    except TimeoutError:
        data = b""
    if data.startswith(b"GET "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\n" + GREETING)
    else:
        writer.write(GREETING)
    try:
        await writer.drain()
        await reader.read()
    except OSError:
        pass
    writer.close()


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
        call["target"], call["port"], local_addr=(call["source"], 0), ssl=secure
    )
    try:
        if call["http"]:
            writer.write(b"GET / HTTP/1.1\r\nHost: program\r\nConnection: close\r\n\r\n")
        elif call["first"]:
            writer.write(b"hello\n")
        data = await reader.read(4096)
    finally:
        writer.close()
    if call["http"]:
        return "allowed" if data.startswith(b"HTTP/1.1 200") else "denied" if _refused(data) else f"error: {data!r}"
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


if __name__ == "__main__":
    asyncio.run(
        program(int(sys.argv[2])) if sys.argv[1] == "program" else calls(json.loads(Path(sys.argv[2]).read_text()))
    )
