"""HTTP/2 with prior knowledge (RFC 9113 §3.3), frame by frame, so that nothing is left to a library's choice.

The server answers every request with headers, a body and trailers.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
_STATUS_200 = 0x88
"""An entry of HPACK's static table (RFC 7541, appendix A)."""
BODY = b"frames"
PATIENCE = 10.0


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame (RFC 9113 §4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header that enters no table (RFC 7541 §6.2.2); both shorter than 127 bytes."""
    return b"".join((b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))


def frames(stream: Any) -> Iterator[tuple[int, int, int, bytes]]:
    """(kind, flags, stream, payload) until the connection ends."""
    while len(head := stream.read(9)) == 9:
        kind, flags, number = struct.unpack("!BBI", head[3:])
        yield kind, flags, number & 0x7FFFFFFF, stream.read(int.from_bytes(head[:3], "big"))


def serve(port: int) -> None:
    """Serves in a thread."""

    def accept() -> None:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as door:
            while True:
                connection, _ = door.accept()
                threading.Thread(target=_answer, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rwb") as stream:
        if stream.read(len(PREFACE)) != PREFACE:
            return
        _write(stream, frame(SETTINGS, 0, 0))
        for kind, flags, number, payload in frames(stream):
            if kind == SETTINGS and not flags & ACK:
                _write(stream, frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                _write(stream, frame(PING, ACK, 0, payload))
            elif kind in (DATA, HEADERS) and flags & END_STREAM:
                head = frame(HEADERS, END_HEADERS, number, bytes([_STATUS_200]))
                tail = frame(HEADERS, END_HEADERS | END_STREAM, number, literal("x-sum", "abc"))
                _write(stream, head + frame(DATA, 0, number, BODY) + tail)


def _write(stream: Any, data: bytes) -> None:
    stream.write(data)
    stream.flush()


def ask(host: str, port: int, times: int) -> dict[str, Any]:
    """So many requests at once on one connection: how many had 200, a whole body and trailers."""
    request = b"\x82\x84\x86" + literal(":authority", host)  # GET, path /, scheme http
    with socket.create_connection((host, port), PATIENCE) as connection, connection.makefile("rwb") as stream:
        begin = PREFACE + frame(SETTINGS, 0, 0)
        wanted = [1 + 2 * each for each in range(times)]
        _write(stream, begin + b"".join(frame(HEADERS, END_HEADERS | END_STREAM, each, request) for each in wanted))
        seen = _seen(stream, set(wanted))
    whole = [each for each in seen.values() if each["ok"] and each["body"] == BODY and each["trailers"]]
    # Which status it is instead would take HPACK's tables to know.
    said = "200" if len(whole) == times else "other" if any(each["ok"] for each in seen.values()) else "denied"
    return {"outcome": said, "whole": len(whole)}


def _seen(stream: Any, open_: set[int]) -> dict[int, dict[str, Any]]:
    """What came on each stream until all have ended."""
    seen: dict[int, dict[str, Any]] = {each: {"ok": False, "body": b"", "trailers": False} for each in open_}
    for kind, flags, number, payload in frames(stream):
        if kind == SETTINGS and not flags & ACK:
            _write(stream, frame(SETTINGS, ACK, 0))
        elif kind == GOAWAY:
            raise ConnectionError("the other side goes away")
        elif number in open_ and kind in (DATA, HEADERS):
            one = seen[number]
            if kind == DATA:
                one["body"] += payload
            elif one["body"]:
                one["trailers"] = True
            else:
                one["ok"] = payload[:1] == bytes([_STATUS_200])
            if flags & END_STREAM:
                open_.discard(number)
        if not open_:
            return seen
    raise ConnectionError("the connection ended before the answers did")
