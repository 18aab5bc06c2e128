"""Bytes that no honest client sends, through a real Envoy, and what its program gets to see of them."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.model.proxy import ProxyConfig

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.component.request_rig import API, HTTP_PORT, OUTSIDE, POD, WEB
from tests.component.wire_peers import frame

PEERS = Path(__file__).with_name("wire_peers.py")
#: The beginning of a connection of HTTP/2, with settings of its own.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")
_END_STREAM, _END_HEADERS = 0x1, 0x4
#: HPACK's code of small letters and the dash (RFC 7541 appendix B).
_CODES = {
    **{char: f"{n:05b}" for char, n in zip("aceiost", range(3, 10), strict=True)},
    "-": "010110",
    **{char: f"{n:06b}" for char, n in zip("bdfghlmnpru", range(35, 46), strict=True)},
    **{char: f"{n:07b}" for char, n in zip("jkqvwxyz", range(0x74, 0x7C), strict=True)},
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A request as the program got it; ``odd`` is what nobody would read alike."""

    line: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""
    trailers: tuple[tuple[str, str], ...] = ()
    odd: str = ""

    def read_as(self, name: str) -> list[str]:
        """The values of a header, and of those that some programs take for it (CGI), trailers among them."""
        every = (*self.headers, *self.trailers)
        return [value for found, value in every if found.lower().replace("_", "-") == name]


class Rig:
    """The network, with a proxy in it once it runs."""

    def __init__(self, net: Net, svids: Identities, record: Path) -> None:
        self.net, self.svids, self._record = net, svids, record

    @contextmanager
    def running(self, config: ProxyConfig) -> Iterator[Path]:
        """Yields the log."""
        with proxy_net.running(self.net, config, self.svids.secrets("shop", "db")) as log:
            yield log

    def send(
        self, *sent: bytes | Iterable[bytes], source: str = WEB, shown: bool = True, waits: float = 0.0
    ) -> list[bytes]:
        """What came back of each connection; without ``shown`` the caller has no identity."""
        account = {WEB: "web", API: "api"}[source] if shown else ""
        call = {
            "source": source,
            "target": POD,
            "port": HTTP_PORT,
            "identity": self.svids.files("shop", account) if account else (),
            "waits": waits,
        }
        pieces = ([each] if isinstance(each, bytes) else each for each in sent)
        path = self.net.directory / "wire.json"
        path.write_text(json.dumps([{**call, "sent": [p.decode("latin-1") for p in each]} for each in pieces]))
        command = self.net.command("callers", sys.executable, str(PEERS), "calls", str(path))
        return [text.encode("latin-1") for text in json.loads(proxy_net.run(*command))]

    def _taken(self) -> list[dict[str, Any]]:
        if not self._record.exists():
            return []
        lines = self._record.read_text().split("\n")[:-1]
        self._record.unlink()
        return [json.loads(each) for each in lines]

    def seen(self) -> list[Seen]:
        """What the program got since the last question, in HTTP/1.1."""
        found = []
        for each in (one for one in self._taken() if "line" in one):
            headers, trailers = (tuple(map(tuple, each.get(kind, ()))) for kind in ("headers", "trailers"))
            found.append(Seen(each["line"], headers, each.get("body", ""), trailers, each.get("odd", "")))
        return found

    def blocks(self) -> list[list[bytes]]:
        """The blocks of headers and trailers of each request that came since the last question, in HTTP/2."""
        return [list(map(bytes.fromhex, each["blocks"])) for each in self._taken() if "blocks" in each]

    @property
    def alive(self) -> bool:
        """Whether the proxy still answers."""
        return proxy_net.ask(self.net.directory / "admin.sock", "/ready").startswith(b"HTTP/1.1 200")


@contextmanager
def network(directory: Path) -> Iterator[Rig]:
    """The network, and the program that writes down what comes."""
    record = directory / "record"
    with proxy_net.network(directory, [str(PEERS), "program", str(record)]) as net:
        net.give("pod", [POD])
        net.give("callers", [WEB, API, OUTSIDE])
        yield Rig(net, Identities(directory, "cluster.local"), record)


def statuses(answer: bytes) -> list[int]:
    """Of the answers that came in HTTP/1.1, one after the other."""
    parts = answer.split(b"HTTP/1.")[1:]
    return [int(each.split(b" ")[1][:3]) for each in parts]


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> bytes:
    """A string of HPACK, as it is; its length an integer of 7 bits and more (RFC 7541 section 5)."""
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, length = len(data) - 127, bytearray(b"\x7f")
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes((*length, rest)) + data


def block(*headers: tuple[str, str]) -> bytes:
    """A block of headers (Latin-1), each written out."""
    pairs = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def pseudo(path: str, method: str = "GET", authority: str = "pay.shop") -> tuple[tuple[str, str], ...]:
    """The first headers of a request."""
    return (":method", method), (":scheme", "http"), (":path", path), (":authority", authority)


def stream(
    *headers: tuple[str, str], number: int = 1, body: bytes | None = None, trailers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A request as frames."""
    ends = _END_STREAM if body is None and not trailers else 0
    made = frame(1, _END_HEADERS | ends, number, block(*headers))
    if body is not None:
        made += frame(0, 0 if trailers else _END_STREAM, number, body)
    if trailers:
        made += frame(1, _END_HEADERS | _END_STREAM, number, block(*trailers))
    return made


def http2(*headers: tuple[str, str], **rest: Any) -> bytes:
    """A connection with one request."""
    return PREFACE + stream(*headers, **rest)


def reached(answer: bytes) -> bool:
    """Whether a program of these rigs has answered."""
    return b"program" in answer


def huffman(name: str) -> bytes:
    """A name as HPACK's code writes it, less the last byte, which is filled up."""
    bits = "".join(_CODES[char] for char in name)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) // 8 * 8, 8))
