"""Hosts outside, the name server that knows them, and a program that calls them: run inside network namespaces.

host_peers.py serve ZONE AT PORT...  answers DNS at an address ("-": nowhere) by a JSON file (name: addresses, or lists
                                     of them to give in turn), and TCP on these ports: says at which address it
                                     was reached, and writes that to ZONE.reached
host_peers.py large CERT KEY AT PORT a host that speaks TLS: sends back as many bytes as the first eight say
host_peers.py ask NAME TO PORT SIZE UID   calls it by a name at an address; writes what came back in TLS
host_peers.py calls FILE UID         makes the calls of a JSON file as a user; writes what came of each
"""

import asyncio
import contextlib
import importlib
import ipaddress
import itertools
import json
import os
import socket
import ssl
import struct
import sys
from pathlib import Path
from typing import Any

GIVES_UP_AFTER = 12.0
AT_ONCE = 40
_A, _AAAA = 1, 28


class NameServer(asyncio.DatagramProtocol):
    """Answers for addresses, good for a second."""

    def __init__(self, zone: Path) -> None:
        self._zone = zone
        self._turns: dict[tuple[str, int], Any] = {}
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        labels, place = [], 12
        while data[place]:
            labels.append(data[place + 1 : place + 1 + data[place]].decode())
            place += 1 + data[place]
        asked = data[12 : place + 5]
        (kind,) = struct.unpack(">H", data[place + 1 : place + 3])
        found = [each for each in self._addresses(".".join(labels).lower(), kind) if _kind(each) == kind]
        head = data[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, len(found), 0, 0)
        packed = (ipaddress.ip_address(each).packed for each in found)
        records = (b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(each)) + each for each in packed)
        self._transport.sendto(head + asked + b"".join(records), addr)

    def _addresses(self, name: str, kind: int) -> list[str]:
        known = json.loads(self._zone.read_text()).get(name, [])
        if known and isinstance(known[0], list):
            turns = self._turns.setdefault((name, kind), itertools.cycle(known))
            found: list[str] = next(turns)
            return found
        return list(known)


def _kind(address: str) -> int:
    return _AAAA if ":" in address else _A


async def serve(zone: Path, at: str, ports: list[int]) -> None:
    reached = zone.with_suffix(".reached")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0].removeprefix("::ffff:")
        with reached.open("a") as file:
            file.write(f"{address}\n")
        with contextlib.suppress(OSError, TimeoutError):
            data = await asyncio.wait_for(reader.read(4096), 3)
            text = f"reached {address}"
            if data[:1] == b"\x16" and b"held" in data:
                writer.write(text.encode())
                await reader.read()
            if data[:1] not in {b"\x16", b""}:
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n"
                text = f"{head}Connection: close\r\n\r\n{text}"
            writer.write(text.encode())
            await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    if at != "-":
        await loop.create_datagram_endpoint(lambda: NameServer(zone), local_addr=(at, 53))
    for port in ports:
        await asyncio.start_server(answer, None, port, backlog=512)
    print("listening", flush=True)
    await asyncio.Event().wait()


def hello(name: str) -> bytes:
    """The first bytes of TLS to a host of this name, however odd; without a name for ""."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    stand_in = "x" * min(len(name), 60) + "y" * max(0, len(name) - 60) if name else None
    if stand_in is not None and len(stand_in) > 60:
        stand_in = ".".join(stand_in[at : at + 49] for at in range(0, len(stand_in), 50))
        stand_in = stand_in.ljust(len(name), "z")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=stand_in).do_handshake()
    made = outgoing.read()
    return made.replace(stand_in.encode(), name.encode("latin-1")) if stand_in else made


def _bytes(call: dict[str, Any]) -> bytes:
    return hello(call["sni"]) if "sni" in call else str(call["raw"]).encode("latin-1")


async def _call(call: dict[str, Any]) -> str:
    reader, writer = await asyncio.open_connection(call["to"], call["port"])
    try:
        writer.write(call["data"])
        for piece in call.get("then", ()):
            await asyncio.sleep(0.03)
            writer.write(piece.encode("latin-1"))
        data = await reader.read(4096)
        while data.startswith(b"HTTP/1.1 200") and b"reached" not in data and (more := await reader.read(4096)):
            data += more
        for again in call.get("again", ()):
            # On the same connection, after a while.
            await asyncio.sleep(again["after"])
            if again.get("raw"):
                writer.write(again["raw"].encode())
            try:
                told = await asyncio.wait_for(reader.read(4096), again["within"])
            except TimeoutError:
                told = b"open"
            except ConnectionError:
                told = b""
            data += b" then " + (told[9:12] if told.startswith(b"HTTP") else told or b"ended")
    finally:
        writer.close()
    return _said(data.decode("latin-1")) if b"reached " in data else f"refused {data[9:12].decode()}"


def _said(data: str) -> str:
    """The body of the first answer: those to requests behind it may have come at the same time."""
    if not data.startswith("HTTP/"):
        return data
    return data.partition("\r\n\r\n")[2].partition("HTTP/1.1 ")[0]


async def _came_of(call: dict[str, Any], gate: asyncio.Semaphore) -> str:
    async with gate:
        try:
            return await asyncio.wait_for(_call(call), GIVES_UP_AFTER)
        except TimeoutError:
            return "error: no end"
        except ConnectionError:
            return "refused "
        except OSError as error:
            return f"error: {error}"


async def calls(wanted: list[dict[str, Any]]) -> list[str]:
    gate = asyncio.Semaphore(AT_ONCE)
    return await asyncio.gather(*(_came_of(call, gate) for call in wanted))


async def large(certificate: str, key: str, at: str, port: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
        data = await reader.readexactly(size)
        writer.write(data)
        await writer.drain()
        writer.close()

    await asyncio.start_server(answer, at, port, ssl=context)
    print("listening", flush=True)
    await asyncio.Event().wait()


async def ask(name: str, to: str, port: int, size: int) -> dict[str, Any]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sent = os.urandom(1 << 16) * (size >> 16)
    reader, writer = await asyncio.open_connection(to, port, ssl=context, server_hostname=name)
    writer.write(struct.pack(">Q", len(sent)) + sent)
    version = writer.get_extra_info("ssl_object").version()
    found = await reader.readexactly(len(sent))
    writer.close()
    return {"same": found == sent, "size": len(found), "tls": version}


def main() -> None:
    what, path, *rest = sys.argv[1:]
    if what == "large":
        asyncio.run(large(path, rest[0], rest[1], int(rest[2])))
    if what == "ask":
        # What its names are encoded with lies where the user below may not read.
        importlib.import_module("encodings.idna")
        os.setgroups([])
        os.setuid(int(rest[3]))
        print(json.dumps(asyncio.run(ask(path, rest[0], int(rest[1]), int(rest[2])))))
        return
    if what == "serve":
        asyncio.run(serve(Path(path), rest[0], [int(each) for each in rest[1:]]))
        return
    # All that has to be read of the interpreter's own files, before the user may not.
    wanted = [each | {"data": _bytes(each)} for each in json.loads(Path(path).read_text())]
    os.setgroups([])
    os.setuid(int(rest[0]))
    socket.setdefaulttimeout(GIVES_UP_AFTER)
    print(json.dumps(asyncio.run(calls(wanted))))


if __name__ == "__main__":
    main()
