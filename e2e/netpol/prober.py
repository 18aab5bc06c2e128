"""Probes: servers and clients in many network namespaces, all in one process and one loop.

A socket belongs to the namespace in which it was made, so one process can hold the servers of every pod and start a
whole matrix of connections at once. What is allowed answers within a millisecond; what is denied never does.
"""

import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address

from e2e.enforcer.model import Protocol
from e2e.enforcer.netns import Namespace
from e2e.netpol import sctp

QUIET_SECONDS = 0.08
"""How long to listen on after everything expected has answered: what is open answers in a thousandth of that."""
PATIENCE_SECONDS = 4.0
"""How long to wait for what is expected: longer than two SYN retransmissions, for a busy machine."""
RESEND_SECONDS = 0.5
FIRST_SOURCE_PORT, SOURCE_PORTS = 20000, 10000
"""Each round sends from another port, since a connection that was tracked before would pass as established."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try: the names of two sites, and a port of the second."""

    source: str
    destination: str
    port: int
    protocol: Protocol


@dataclass(slots=True)
class Site:
    """A place that serves and calls: a pod, a node, or a host outside. ``namespace`` stays the caller's to close."""

    name: str
    namespace: Namespace
    address: str
    sockets: list[socket.socket] = field(default_factory=list)
    raw: socket.socket | None = None

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its address."""
        return socket.AF_INET if ip_address(self.address).version == 4 else socket.AF_INET6


class Prober:
    """Serves at every site and tries connections between them. Not thread-safe; close it when done."""

    def __init__(self, ports: Iterable[int]) -> None:
        """Serve each of ``ports`` over TCP, UDP and SCTP at each site to come."""
        self._ports = frozenset(ports)
        self._sites: dict[str, Site] = {}
        self._selector = selectors.DefaultSelector()
        self._round = 0
        self._waiting: dict[int, Attempt] = {}
        self._reached: set[Attempt] = set()

    def add(self, site: Site) -> None:
        """Start serving at a site. Raises OSError when its address is not there."""
        self._sites[site.name] = site
        with site.namespace.entered():
            for port in self._ports:
                listener = self._socket(site, socket.SOCK_STREAM, port)
                listener.listen(256)
                self._selector.register(listener, selectors.EVENT_READ, _accept)
                self._selector.register(self._socket(site, socket.SOCK_DGRAM, port), selectors.EVENT_READ, _echo)
            site.raw = socket.socket(site.family, socket.SOCK_RAW, socket.IPPROTO_SCTP)
            site.raw.setblocking(False)
            site.sockets.append(site.raw)
            self._selector.register(site.raw, selectors.EVENT_READ, self._sctp)

    def remove(self, name: str) -> None:
        """Stop serving at a site."""
        site = self._sites.pop(name)
        for each in site.sockets:
            self._selector.unregister(each)
            each.close()
        site.sockets.clear()

    def close(self) -> None:
        """Stop serving everywhere."""
        for name in list(self._sites):
            self.remove(name)
        self._selector.close()

    def reached(self, attempts: Collection[Attempt], expected: Collection[Attempt]) -> set[Attempt]:
        """Return which of ``attempts`` get through.

        Waits for all of ``expected`` (for as long as PATIENCE_SECONDS), and for surprises QUIET_SECONDS more.
        """
        self._round += 1
        self._waiting, self._reached = dict(enumerate(attempts, 1)), set()
        clients = self._start()
        try:
            started = time.monotonic()
            resend, missing = started + RESEND_SECONDS, set(expected)
            while missing and time.monotonic() < started + PATIENCE_SECONDS:
                self._serve(0.05)
                missing -= self._reached
                if missing and time.monotonic() > resend:
                    self._resend(clients, missing)
                    resend += RESEND_SECONDS
            quiet = time.monotonic() + QUIET_SECONDS
            while (left := quiet - time.monotonic()) > 0:
                self._serve(left)
        finally:
            for each in clients.values():
                if each in self._selector.get_map():
                    self._selector.unregister(each)
                each.close()
        return self._reached

    def _start(self) -> dict[tuple[str, int], socket.socket]:
        """Start every attempt; returns the sockets, by (source, 0 for datagrams or the attempt's number)."""
        clients: dict[tuple[str, int], socket.socket] = {}
        by_source: dict[str, list[int]] = {}
        for number, attempt in self._waiting.items():
            by_source.setdefault(attempt.source, []).append(number)
        for name, numbers in by_source.items():
            site = self._sites[name]
            with site.namespace.entered():
                datagrams = socket.socket(site.family, socket.SOCK_DGRAM)
                datagrams.setblocking(False)
                datagrams.bind((site.address, self._source_port))
                clients[(name, 0)] = datagrams
                self._selector.register(datagrams, selectors.EVENT_READ, self._answered)
                for number in numbers:
                    self._try(site, number, clients)
        return clients

    def _try(self, site: Site, number: int, clients: dict[tuple[str, int], socket.socket]) -> None:
        attempt = self._waiting[number]
        target = (self._sites[attempt.destination].address, attempt.port)
        if attempt.protocol is Protocol.UDP:
            _send(clients[(site.name, 0)], number.to_bytes(4), target)
        elif attempt.protocol is Protocol.SCTP:
            assert site.raw is not None
            _send(site.raw, sctp.Packet(self._source_port, attempt.port, sctp.INIT, 0, number).encode(), (target[0], 0))
        else:
            stream = socket.socket(site.family, socket.SOCK_STREAM)
            stream.setblocking(False)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            stream.bind((site.address, 0))
            clients[(site.name, number)] = stream
            self._selector.register(stream, selectors.EVENT_WRITE, self._connected(attempt))
            stream.connect_ex(target)

    def _resend(self, clients: dict[tuple[str, int], socket.socket], missing: set[Attempt]) -> None:
        """Send lost datagrams again; the kernel does so for TCP."""
        for number, attempt in self._waiting.items():
            if attempt in missing and attempt.protocol is not Protocol.TCP:
                site = self._sites[attempt.source]
                with site.namespace.entered():
                    self._try(site, number, clients)

    @property
    def _source_port(self) -> int:
        return FIRST_SOURCE_PORT + self._round % SOURCE_PORTS

    def _serve(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data(key.fileobj)

    def _connected(self, attempt: Attempt) -> Callable[[socket.socket], None]:
        def check(stream: socket.socket) -> None:
            if stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                self._reached.add(attempt)
            self._selector.unregister(stream)

        return check

    def _answered(self, datagrams: socket.socket) -> None:
        data = _receive(datagrams)
        if data and len(data[0]) == 4:
            self._arrived(int.from_bytes(data[0]), datagrams.getsockname()[1])

    def _sctp(self, raw: socket.socket) -> None:
        received = _receive(raw)
        if received is None:
            return
        data, sender = received
        packet = sctp.decode(data[(data[0] & 15) * 4 :] if raw.family == socket.AF_INET else data)
        if packet is None:
            return
        if packet.kind == sctp.INIT and packet.destination_port in self._ports:
            answer = sctp.Packet(packet.destination_port, packet.source_port, sctp.INIT_ACK, packet.initiate, 1)
            _send(raw, answer.encode(), (sender[0], 0))
        elif packet.kind == sctp.INIT_ACK:
            self._arrived(packet.tag, packet.destination_port)

    def _arrived(self, number: int, port: int) -> None:
        """Note an answer, unless it is a late one to an earlier round."""
        if port == self._source_port and number in self._waiting:
            self._reached.add(self._waiting[number])

    def _socket(self, site: Site, kind: socket.SocketKind, port: int) -> socket.socket:
        made = socket.socket(site.family, kind)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((site.address, port))
        site.sockets.append(made)
        return made


def _accept(listener: socket.socket) -> None:
    try:
        stream, _ = listener.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return
    stream.close()


def _echo(datagrams: socket.socket) -> None:
    received = _receive(datagrams)
    if received:
        _send(datagrams, received[0], received[1])


def _receive(one: socket.socket) -> tuple[bytes, tuple[str, int]] | None:
    try:
        data, sender = one.recvfrom(4096)
    except (BlockingIOError, ConnectionError):
        return None
    return data, sender


def _send(one: socket.socket, data: bytes, target: tuple[str, int]) -> None:
    """Send a datagram; a refusal by the network is an answer that says "not reached", not an error of the prober."""
    try:
        one.sendto(data, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EAGAIN, errno.ECONNREFUSED):
            raise
