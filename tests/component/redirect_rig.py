"""A pod's network and a stranger's, joined by a cable, in which sockets are opened as any user.

Network namespaces are held by descriptors and not by names: whatever happens to the test, none is left.
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ringfence.node import rules

from e2e.enforcer.netns import Namespace

PROXY: Final = 2_000_000_123
PROGRAM: Final = 65532
POD4, PEER4, POD6, PEER6 = "10.9.0.2", "10.9.0.1", "fd09::2", "fd09::1"
SECONDS: Final = 3.0
_ORIGINAL_DESTINATION: Final = 80  # SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def acting_as(user: int, group: int = -1) -> Iterator[None]:
    """Sockets that this thread opens inside are a user's and a group's (that of its number), as nftables sees them."""
    with acting_in(user if group < 0 else group):
        _LIBC.setfsuid(user)
        try:
            yield
        finally:
            _LIBC.setfsuid(0)


@contextlib.contextmanager
def acting_in(group: int) -> Iterator[None]:
    """The same for a group; the user stays who it is."""
    _LIBC.setfsgid(group)
    try:
        yield
    finally:
        _LIBC.setfsgid(0)


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Place:
    """A network namespace to open sockets in."""

    def __init__(self, namespace: Namespace | None = None) -> None:
        self.namespace = namespace or Namespace.new()
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        done = subprocess.run(
            ["nsenter", f"--net={self.namespace.path}", *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def load(self, text: str) -> None:
        self.run("nft", "-f", "-", stdin=text)

    def redirect(self, *, strict: bool = True, user: int = PROXY, group: int = 0) -> None:
        """As the proxy's pod would have it, loaded by hand."""
        self.load(rules.ruleset(user, group, strict=strict))

    @contextlib.contextmanager
    def opened(
        self,
        family: socket.AddressFamily,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        user: int = 0,
        protocol: int = 0,
    ) -> Iterator[socket.socket]:
        with self.namespace.entered(), acting_as(user):
            made = socket.socket(family, kind, protocol)
        made.settimeout(SECONDS)
        with made:
            yield made

    @contextlib.contextmanager
    def listening(self, *ports: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator["Doors"]:
        """Something that answers on these ports, on all addresses of both families."""
        with contextlib.ExitStack() as stack:
            doors = {}
            for port in ports:
                door = stack.enter_context(self.opened(socket.AF_INET6, kind))
                door.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                door.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    door.listen(256)
                doors[port] = door
            yield Doors(doors)

    def connect(
        self, address: str, port: int, *, user: int = PROGRAM, group: int = -1, source: str = ""
    ) -> socket.socket:
        """A connection by a user, and by a group of another number; raises what connect raises."""
        with self.namespace.entered(), acting_as(user, group):
            made = socket.socket(family_of(address), socket.SOCK_STREAM)
        made.settimeout(SECONDS)
        try:
            if source:
                made.bind((source, 0))
            made.connect((address, port))
        except OSError:
            made.close()
            raise
        return made

    def refuses(self, address: str, port: int, *, user: int = PROGRAM) -> bool:
        """Whether a connection is refused at once."""
        try:
            self.connect(address, port, user=user).close()
        except ConnectionRefusedError:
            return True
        return False

    def close(self) -> None:
        self.namespace.close()


@dataclass
class Arrival:
    """Where a connection came out, and where it had been going."""

    port: int
    meant: tuple[str, int]
    source: str


class Doors:
    """Listening sockets by port."""

    def __init__(self, doors: dict[int, socket.socket]) -> None:
        self._doors = doors

    def arrived(self, client: socket.socket) -> Arrival:
        """Which of the ports a client's connection has come out at; there must be one."""
        client.sendall(b"x")
        ready, _, _ = select.select(list(self._doors.values()), [], [], SECONDS)
        assert ready, "the connection was accepted by nobody here"
        accepted, source = ready[0].accept()
        with accepted:
            port = next(number for number, door in self._doors.items() if door is ready[0])
            return Arrival(port, _meant(accepted), source[0].removeprefix("::ffff:"))

    def nobody(self) -> bool:
        """Whether nothing waits at any of them."""
        for door in self._doors.values():
            door.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                door.accept()[0].close()
                return False
        return True

    def datagram(self, port: int) -> bytes | None:
        """The next datagram, None when none comes."""
        self._doors[port].settimeout(0.5)
        try:
            return self._doors[port].recv(2048)
        except TimeoutError:
            return None


def _meant(accepted: socket.socket) -> tuple[str, int]:
    """The original destination, as Envoy's listener filter reads it; its own address when nothing led it elsewhere."""
    address, port = accepted.getsockname()[:2]
    try:
        if address.startswith("::ffff:"):
            raw = accepted.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16)
            return socket.inet_ntoa(raw[4:8]), struct.unpack_from("!H", raw, 2)[0]
        raw = accepted.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DESTINATION, 28)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]
    except OSError:
        return address, port


class Wire:
    """The pod and a peer, one hop apart."""

    def __init__(self, pod: Namespace | None = None) -> None:
        self.pod, self.peer = Place(pod), Place()
        self.peer.run(
            "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.pod.namespace.path
        )
        for place, four, six in ((self.pod, POD4, POD6), (self.peer, PEER4, PEER6)):
            place.run("ip", "link", "set", "eth0", "up")
            place.run("ip", "addr", "add", f"{four}/24", "dev", "eth0")
            place.run("ip", "addr", "add", f"{six}/64", "dev", "eth0", "nodad")
        self.pod.run("ip", "addr", "add", "::6/128", "dev", "lo")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pod.close()
        self.peer.close()


@contextlib.contextmanager
def users_of_its_own(first: int) -> Iterator[Namespace]:
    """A network as a pod with ``hostUsers: false`` has it: of a user namespace whose ids begin at ``first`` outside."""
    with subprocess.Popen(["unshare", "--user", "--net", "sleep", "60"]) as holder:
        try:
            own = os.readlink("/proc/self/ns/net")
            ends = time.monotonic() + SECONDS
            while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
                assert time.monotonic() < ends, "no namespace was made"
                time.sleep(0.01)
            for kind in ("uid_map", "gid_map"):
                Path(f"/proc/{holder.pid}/{kind}").write_text(f"0 {first} 65536")
            yield Namespace.at(f"/proc/{holder.pid}/ns/net")
        finally:
            holder.kill()


class Flood:
    """Connects from a thread as fast as it can, until it is told to stop."""

    def __init__(self, place: Place, address: str, port: int) -> None:
        self._place, self._address, self._port = place, address, port
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.made = 0
        self.failed: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        with self._place.namespace.entered():
            while not self._end.is_set():
                try:
                    socket.create_connection((self._address, self._port), SECONDS).close()
                    self.made += 1
                except OSError as error:
                    self.failed.append(str(error))


def own_rules() -> str:
    """What nftables holds in the network of this process."""
    command = ["nft", "--stateless", "list", "ruleset"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
