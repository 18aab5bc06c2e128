"""TCP where the server speaks first, UDP, echo requests, and names by UDP and by TCP."""

import random
import socket
import struct
import threading
import time
from typing import Any

GREETING = b"220 traffic\r\n"
PATIENCE = 3.0


def serve(port: int) -> None:
    """Greets and repeats what it hears, in threads."""

    def accept() -> None:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as door:
            while True:
                connection, _ = door.accept()
                threading.Thread(target=_greet, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def _greet(connection: socket.socket) -> None:
    with connection:
        connection.sendall(GREETING)
        while heard := connection.recv(65536):
            connection.sendall(heard)


def serve_datagrams(port: int) -> None:
    """Repeats each datagram, in a thread."""
    door = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    door.bind(("::", port))

    def repeat() -> None:
        while True:
            data, sender = door.recvfrom(2048)
            door.sendto(data, sender)

    threading.Thread(target=repeat, daemon=True).start()


def greeted(host: str, port: int, seconds: float) -> dict[str, Any]:
    """Hears the greeting, then has lines repeated for so long."""
    with socket.create_connection((host, port), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        if (heard := connection.recv(len(GREETING))) != GREETING:
            return {"outcome": "closed", "said": repr(heard)}
        end, echoed = time.monotonic() + seconds, 0
        while echoed == 0 or time.monotonic() < end:
            connection.sendall(b"line\n")
            if connection.recv(64) != b"line\n":
                raise ConnectionError(f"line {echoed} did not come back")
            echoed += 1
            time.sleep(0.2)
    return {"outcome": "greeted", "echoed": echoed}


def datagram(host: str, port: int) -> dict[str, Any]:
    """One datagram, three times if need be: ``echoed``, ``silent``, or ``refused`` by an error of ICMP."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.settimeout(PATIENCE / 3)
        made.connect(address)
        for _ in range(3):
            made.send(b"datagram")
            try:
                return {"outcome": "echoed" if made.recv(64) == b"datagram" else "other"}
            except TimeoutError:
                continue
    return {"outcome": "silent"}


def ping(host: str) -> dict[str, Any]:
    """One echo request, by sockets that need no capability: ``echoed``, ``silent``, or ``dropped`` on its way out."""
    six = ":" in host
    family = socket.AF_INET6 if six else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP) as made:
        made.settimeout(PATIENCE)
        made.connect((host, 0))
        try:
            made.send(struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1))
        except PermissionError:
            return {"outcome": "dropped"}
        try:
            return {"outcome": "echoed" if made.recv(64) else "other"}
        except TimeoutError:
            return {"outcome": "silent"}


def name(host: str) -> dict[str, Any]:
    """The addresses of a name, as the system resolves it."""
    found = {each[4][0] for each in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)}
    return {"outcome": "found", "addresses": sorted(map(str, found))}


def name_by_tcp(server: str, host: str) -> dict[str, Any]:
    """How many answers a DNS server has for a name when it is asked over TCP (RFC 7766)."""
    labels = b"".join(bytes([len(each)]) + each.encode() for each in host.split("."))
    query = struct.pack("!6H", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    with socket.create_connection((server, 53), PATIENCE) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(struct.pack("!H", len(query)) + query)
        answer = connection.makefile("rb").read(14)
    if len(answer) < 14:
        raise ConnectionError("the connection ended without an answer")
    return {"outcome": "found", "answers": struct.unpack("!H", answer[8:10])[0]}
