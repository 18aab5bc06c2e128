"""Both ends of requests through a proxy under test: run inside network namespaces, with the standard library alone.

request_peers.py program PORT     answers every request of HTTP/1.1 and HTTP/2 and says that it was the program;
                                  HTTP/1.1 gets its path back, or the header authorization from that path;
                                  CONNECT where it would lead, and then all that it sends (as does any stream of
                                  HTTP/2 that does not end with its headers)
request_peers.py requests FILE    sends the requests of a JSON file; writes to standard output what came of each:
                                  [status, whether the program answered, the body as far as it was read]
"""

import asyncio
import json
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
PROGRAM = b"program"
#: What is sent through a tunnel, as if it were a request.
SENT = b"GET /admin HTTP/1.1\r\nHost: pay.shop\r\n\r\n"
GIVES_UP_AFTER = 20.0
AT_ONCE = 24
#: Statuses by their index in HPACK's static table (RFC 7541, appendix A).
_STATIC = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}
#: The digits in HPACK's Huffman code (appendix B).
_DIGITS = {"00000": "0", "00001": "1", "00010": "2", **{f"{n:06b}": str(n - 22) for n in range(0b011001, 0b100000)}}

Answer = tuple[int, bool, str]


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"PRI "):
                await _serve_http2(reader, writer)
            body = head.split(b" ", 2)[1]
            if head.startswith(b"CONNECT "):
                writer.write(b"HTTP/1.1 200 OK\r\nx-program: yes\r\n\r\n" + body + b" ")
                await _echo(reader, writer)
                break
            if body == b"/authorization":
                body = _header(head, b"authorization")
            answer = b"HTTP/1.1 200 OK\r\nx-program: yes\r\nContent-Length: %d\r\n\r\n" % len(body)
            writer.write(answer + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, OSError):
        pass
    writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The program's end of a tunnel."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


def _header(head: bytes, name: bytes) -> bytes:
    """The values of a header, with a semicolon between them."""
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return b";".join(value.strip() for found, _, value in lines if found.lower() == name)


async def _serve_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(6)
    writer.write(_frame(4, 0, 0, b""))
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        stream = int.from_bytes(head[5:], "big")
        if head[3] == 4 and not head[4] & 1:
            writer.write(_frame(4, 1, 0, b""))
        elif head[3] == 1:
            writer.write(_frame(1, 0x4, stream, b"\x88") + _frame(0, head[4] & 0x1, stream, PROGRAM))
        elif head[3] == 0:
            writer.write(_frame(0, head[4] & 0x1, stream, payload))
        await writer.drain()


async def program(port: int) -> None:
    server = await asyncio.start_server(_serve, None, port, backlog=512)
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


class Connection:
    """A connection of one caller, opened again when the other side has closed it."""

    def __init__(self, call: dict[str, Any]) -> None:
        self._call = call
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            call = self._call
            secure = _context(*call["identity"]) if call["identity"] else None
            self._streams = await asyncio.open_connection(
                call["target"], call["port"], local_addr=(call["source"], 0), ssl=secure
            )
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def send(self, call: dict[str, Any]) -> Answer:
        # An idle connection may have been closed by the other side: once more, on a new one.
        for last in (False, True):
            fresh = self._streams is None
            try:
                reader, writer = await self.open()
                writer.write(_request(call))
                return await self._answer(reader, call)
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                self.close()
                if fresh or last:
                    return 0, False, ""
        raise AssertionError

    async def _answer(self, reader: asyncio.StreamReader, call: dict[str, Any]) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        if call["method"] == "CONNECT" and status == 200:
            return status, "x-program: yes" in head, await self._through(call)
        length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
        body = await reader.readexactly(length)
        if "connection: close" in head or status == 101 or call["upgrade"]:
            self.close()
        return status, "x-program: yes" in head, body.decode("latin-1")

    async def _through(self, call: dict[str, Any]) -> str:
        """What comes back through a tunnel of what is sent into it."""
        reader, writer = await self.open()
        writer.write(SENT)
        wanted = f"{call['host']} ".encode() + SENT
        found = b""
        while len(found) < len(wanted) and (data := await reader.read(1 << 16)):
            found += data
        self.close()
        return found.decode("latin-1")


def _request(call: dict[str, Any]) -> bytes:
    target = call["host"] if call["method"] == "CONNECT" else call["path"]
    lines = [f"{call['method']} {target} HTTP/1.1", f"Host: {call['host']}"]
    lines += [f"{name}: {value}" for name, value in call["headers"]]
    if call["upgrade"]:
        lines += ["Connection: Upgrade", f"Upgrade: {call['upgrade']}"]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _string(text: str) -> bytes:
    """A string of HPACK without Huffman coding (RFC 7541 section 5.2), its length as an integer of 7 bits and more."""
    data = text.encode("utf-8", "surrogateescape")
    length, rest = bytearray((min(len(data), 127),)), len(data) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + (bytes((rest,)) if rest >= 0 else b"") + data


def _headers(call: dict[str, Any]) -> bytes:
    pseudo = [(":method", call["method"]), (":scheme", "http"), (":path", call["path"]), (":authority", call["host"])]
    if call["method"] == "CONNECT":
        pseudo = [pseudo[0], pseudo[3]]
    if call["upgrade"]:
        pseudo[0] = (":method", "CONNECT")
        pseudo.append((":protocol", call["upgrade"]))
    pairs = [*pseudo, *((name.lower(), value) for name, value in call["headers"])]
    return b"".join(b"\0" + _string(name) + _string(value) for name, value in pairs)


async def _over_http2(call: dict[str, Any]) -> Answer:
    """One request on a connection of its own."""
    connection = Connection(call)
    try:
        reader, writer = await connection.open()
        flags = 0x4 if call["upgrade"] or call["method"] == "CONNECT" else 0x5
        writer.write(PREFACE + _frame(4, 0, 0, b"") + _frame(1, flags, 1, _headers(call)))
        return await _status(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        return 0, False, ""
    finally:
        connection.close()


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    status, body = 0, b""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == 4 and not flags & 1:
            writer.write(_frame(4, 1, 0, b""))
        elif kind == 1:
            status = status or _of_hpack(payload)
        elif kind == 0:
            if not body and status == 200 and not flags & 1:
                writer.write(_frame(0, 0x1, 1, SENT))
            body += payload
        if kind in {3, 7} or (kind in {0, 1} and flags & 1):
            # To callers of gRPC a denial is 200 too, its status being in another header.
            return status, body.startswith(PROGRAM), body.decode("latin-1")


def _of_hpack(block: bytes) -> int:
    while block[0] & 0xE0 == 0x20:
        block = block[1:]  # an update of the table's size
    first = block[0]
    if first & 0x80:
        return _STATIC[first & 0x7F]
    length, data = block[1] & 0x7F, block[2:]
    text = data[:length]
    if not block[1] & 0x80:
        return int(text)
    bits, found = "".join(f"{byte:08b}" for byte in text), ""
    while len(found) < 3:
        code = next(code for code in _DIGITS if bits.startswith(code))
        found += _DIGITS[code]
        bits = bits[len(code) :]
    return int(found)


async def _all_of(calls: list[tuple[int, dict[str, Any]]], gate: asyncio.Semaphore, found: dict[int, Answer]) -> None:
    connection = Connection(calls[0][1])
    async with gate:
        for number, call in calls:
            sent = _over_http2(call) if call["http2"] else connection.send(call)
            try:
                found[number] = await asyncio.wait_for(sent, GIVES_UP_AFTER)
            except TimeoutError:
                connection.close()
                found[number] = (-1, False, "no end")
    connection.close()


async def requests(wanted: list[dict[str, Any]]) -> None:
    gate, found = asyncio.Semaphore(AT_ONCE), dict[int, Answer]()
    groups: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, call in enumerate(wanted):
        who = (call["source"], call["identity"], call["target"], call["port"], number % 4)
        groups.setdefault(json.dumps(who), []).append((number, call))
    await asyncio.gather(*(_all_of(each, gate, found) for each in groups.values()))
    print(json.dumps([found[number] for number in range(len(wanted))]))


def main(what: str, argument: str) -> None:
    if what == "program":
        asyncio.run(program(int(argument)))
    else:
        asyncio.run(requests(json.loads(Path(argument).read_text())))


if __name__ == "__main__":
    main(*sys.argv[1:])
