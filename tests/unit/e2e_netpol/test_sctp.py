import struct

from e2e.netpol import sctp
from e2e.netpol.sctp import INIT, INIT_ACK, Packet


def test_the_checksum_is_castagnoli() -> None:
    assert sctp.crc32c(b"123456789") == 0xE3069283


def test_a_packet_survives_the_wire() -> None:
    for packet in (Packet(1000, 80, INIT, 0, 7), Packet(80, 1000, INIT_ACK, 7, 1)):
        assert sctp.decode(packet.encode()) == packet


def test_the_checksum_covers_the_packet_with_its_own_field_zero() -> None:
    data = Packet(1000, 80, INIT, 0, 7).encode()
    (stored,) = struct.unpack_from("<I", data, 8)
    assert sctp.crc32c(data[:8] + bytes(4) + data[12:]) == stored


def test_other_packets_are_nothing() -> None:
    assert sctp.decode(b"") is None
    assert sctp.decode(Packet(1, 2, 6, 0, 0).encode()) is None
