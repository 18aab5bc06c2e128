"""SCTP by hand (RFC 9260): an INIT and the INIT ACK that answers it, over raw sockets.

Many kernels have no SCTP sockets, but the packet filter reads SCTP all the same, and a policy is about packets: an INIT
that comes through and is answered says as much as a TCP handshake does.
"""

import struct
from dataclasses import dataclass

INIT, INIT_ACK = 1, 2
_HEADER = struct.Struct("!HHII")
_CHUNK = struct.Struct("!BBHIIHHI")
_COOKIE = struct.pack("!HH4s", 7, 8, b"judg")


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet with one INIT or INIT ACK chunk; ``tag`` is the header's, ``initiate`` the sender's own."""

    source_port: int
    destination_port: int
    kind: int
    tag: int
    initiate: int

    def encode(self) -> bytes:
        """Return the packet with its checksum; connection tracking ignores packets without a right one."""
        cookie = _COOKIE if self.kind == INIT_ACK else b""
        chunk = _CHUNK.pack(self.kind, 0, _CHUNK.size + len(cookie), self.initiate, 65535, 1, 1, 1) + cookie
        header = _HEADER.pack(self.source_port, self.destination_port, self.tag, 0)
        checksum = struct.pack("<I", crc32c(header + chunk))
        return header[:8] + checksum + chunk


def decode(data: bytes) -> Packet | None:
    """Return the INIT or INIT ACK in ``data`` (without the IP header), or None for anything else."""
    if len(data) < _HEADER.size + _CHUNK.size:
        return None
    source, destination, tag, _ = _HEADER.unpack_from(data)
    kind, _, _, initiate, *_ = _CHUNK.unpack_from(data, _HEADER.size)
    return Packet(source, destination, kind, tag, initiate) if kind in (INIT, INIT_ACK) else None


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of ``data``."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value ^ 0xFFFFFFFF


def _entry(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


_TABLE = tuple(_entry(value) for value in range(256))
