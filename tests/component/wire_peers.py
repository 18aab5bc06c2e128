"""Both ends of a proxy, byte by byte: run inside network namespaces, with the standard library alone.

wire_peers.py program RECORD PORT  writes a line of JSON for each request that comes, as it came: of HTTP/1.1 the first
                                   line, headers, body and trailers; of HTTP/2 the blocks of headers of a stream.
                                   Answers 200, or the number behind a last slash (of CONNECT the port); says that it
                                   was the program
wire_peers.py calls FILE           sends the bytes of a JSON file, each list of them on a connection of its own; writes
                                   to standard output what came back on each until nothing more came

Bytes stand in JSON as Latin-1.
"""

import asyncio
import contextlib
import json
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import Any

MOST = 1 << 20
AT_ONCE = 64
#: Seconds without a byte after which nothing is expected at all, nothing more, and between two pieces that are sent.
SILENT, QUIET, BETWEEN = 4.0, 1.0, 0.02
GIVES_UP_AFTER = 20.0
_SETTINGS, _HEADERS, _DATA, _CONTINUATION = 4, 1, 0, 9
_END_STREAM, _ACK = 0x1, 0x1


class Record:
    """What came."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, what: dict[str, Any]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(what) + "\n")


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    parts = (line.decode("latin-1").partition(":") for line in lines)
    return [(name + ("" if colon else " without a colon"), value.strip(" ")) for name, colon, value in parts]


async def _chunked(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    """The body, and the lines of its trailers; raises ValueError for a chunk that is not as anybody would read it."""
    body = b""
    while size := int(line := (await reader.readuntil(b"\r\n"))[:-2], 16):
        if line.strip(b"0123456789abcdefABCDEF"):
            raise ValueError(f"chunk of {line!r}")
        data = await reader.readexactly(size + 2)
        if not data.endswith(b"\r\n"):
            raise ValueError("chunk without an end")
        body += data[:-2]
    trailers = []
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        trailers.append(line[:-2])
    return body, trailers


async def _rest(reader: asyncio.StreamReader, headers: list[tuple[str, str]]) -> tuple[bytes, list[bytes]]:
    told = {name.lower(): value for name, value in headers}
    if told.get("transfer-encoding") == "chunked":
        return await _chunked(reader)
    return await reader.readexactly(int(told.get("content-length", "0"))), []


async def _serve(record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"PRI "):
                await _serve_http2(record, reader, writer)
            first, *lines = head[:-4].split(b"\r\n")
            headers = _fields(lines)
            came: dict[str, Any] = {"line": first.decode("latin-1"), "headers": headers}
            try:
                body, trailers = await _rest(reader, headers)
            except ValueError as error:
                record.write({**came, "odd": str(error)})
                break
            record.write({**came, "body": body.decode("latin-1"), "trailers": _fields(trailers)})
            last = first.split(b" ")[1].rpartition(b":" if first.startswith(b"CONNECT ") else b"/")[2]
            status = last if last.isdigit() else b"200"
            writer.write(b"HTTP/1.1 %s X\r\nx-program: yes\r\nContent-Length: 7\r\n\r\nprogram" % status)
            await writer.drain()
    writer.close()


async def _serve_http2(record: Record, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(6)
    # Without a table of its own (HEADER_TABLE_SIZE 0) the other side writes every header out.
    writer.write(frame(_SETTINGS, 0, 0, b"\0\1\0\0\0\0"))
    streams: dict[int, list[str]] = {}
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        stream = int.from_bytes(head[5:], "big")
        if head[3] == _SETTINGS and not head[4] & _ACK:
            writer.write(frame(_SETTINGS, _ACK, 0, b""))
        if head[3] in {_HEADERS, _CONTINUATION}:
            streams.setdefault(stream, []).append(payload.hex())
        if head[3] in {_HEADERS, _DATA} and head[4] & _END_STREAM:
            record.write({"blocks": streams.pop(stream)})
            writer.write(frame(_HEADERS, 0x4, stream, b"\x88") + frame(_DATA, _END_STREAM, stream, b"program"))
        await writer.drain()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


async def program(record: Record, port: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(record, reader, writer)

    server = await asyncio.start_server(serve, None, port, backlog=512, limit=MOST)
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


async def _call(call: dict[str, Any]) -> bytes:
    secure = _context(*call["identity"]) if call["identity"] else None
    reader, writer = await asyncio.open_connection(
        call["target"], call["port"], local_addr=(call["source"], 0), ssl=secure
    )
    found = b""
    try:
        for piece in call["sent"]:
            writer.write(piece.encode("latin-1"))
            await writer.drain()
            await asyncio.sleep(BETWEEN)
        while data := await asyncio.wait_for(reader.read(1 << 16), (QUIET if found else SILENT) + call["waits"]):
            found += data
    except (TimeoutError, OSError):
        pass
    writer.close()
    return found


async def calls(wanted: list[dict[str, Any]]) -> list[str]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(call: dict[str, Any]) -> str:
        async with gate:
            try:
                return (await asyncio.wait_for(_call(call), GIVES_UP_AFTER)).decode("latin-1")
            except (TimeoutError, OSError):
                return ""

    return await asyncio.gather(*map(one, wanted))


def main(what: str, path: str, *rest: str) -> None:
    if what == "program":
        asyncio.run(program(Record(Path(path)), int(rest[0])))
    else:
        print(json.dumps(asyncio.run(calls(json.loads(Path(path).read_text())))))


if __name__ == "__main__":
    main(*sys.argv[1:])
