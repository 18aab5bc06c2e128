"""Requests of HTTP/2 that no honest client sends, on a real Envoy."""

import pytest

from tests.component import wire_rig
from tests.component.test_attacks_wire import IDENTITY, IN_CHUNKS, SECRET, THEIRS, head, log, rig
from tests.component.wire_rig import PREFACE, Rig, http2, pseudo, reached, stream

__all__ = ("log", "rig")

pytestmark = pytest.mark.component

GOOD = pseudo("/public/a")
BAD = pseudo("/admin/x")
#: Requests of HTTP/2 that are none, or not as they should be.
MALFORMED = {
    "a line in a value": http2(*GOOD, ("x-a", "b\r\nx-c: d")),
    "a line in a name": http2(*GOOD, ("x-a\r\nx-c", "b")),
    "NUL in a value": http2(*GOOD, ("x-a", "b\0")),
    "a colon in a name": http2(*GOOD, ("x:a", "b")),
    "a space in a name": http2(*GOOD, ("x a", "b")),
    "capitals in a name": http2(*GOOD, ("X-A", "b")),
    "an empty name": http2(*GOOD, ("", "b")),
    "a line in the path": http2(*pseudo("/public/a HTTP/1.1\r\nx: y\r\n\r\nGET /admin/x")),
    "a space in the path": http2(*pseudo("/public/a HTTP/1.1")),
    "a line in the method": http2(*pseudo("/public/a", "GET /admin/x HTTP/1.1\r\nx: ")),
    "a space in the method": http2(*pseudo("/public/a", "GET /admin/x HTTP/1.1")),
    "an empty method": http2(*pseudo("/public/a", "")),
    "a line in the authority": http2(*pseudo("/public/a", authority="pay.shop\r\nx: y")),
    "a space in the authority": http2(*pseudo("/public/a", authority="pay.shop other")),
    "a slash in the authority": http2(*pseudo("/public/a", authority="pay.shop/admin")),
    "a path in the scheme": http2(GOOD[0], (":scheme", "http://pay.shop/admin?"), *GOOD[2:]),
    "two paths": http2(*GOOD, (":path", "/admin/x")),
    "two paths, the other way": http2(*BAD, (":path", "/public/a")),
    "two methods": http2(*GOOD, (":method", "DELETE")),
    "two authorities": http2(*GOOD, (":authority", "other.shop")),
    "no path": http2(GOOD[0], GOOD[1], GOOD[3]),
    "no method": http2(*GOOD[1:]),
    "an empty path": http2(*pseudo("")),
    "a path behind headers": http2(*GOOD[:2], ("x-a", "b"), *GOOD[2:]),
    "a status": http2(*GOOD, (":status", "200")),
    "an unknown word": http2(*GOOD, (":other", "x")),
    "a protocol without CONNECT": http2(*GOOD, (":protocol", "websocket")),
    "another protocol": http2((":method", "CONNECT"), *GOOD[1:], (":protocol", "connect-udp"), body=b"x"),
    "CONNECT": http2((":method", "CONNECT"), (":authority", "pay.shop:80"), body=SECRET.encode()),
    "CONNECT to a path": http2((":method", "CONNECT"), *GOOD[1:], body=b"x"),
    "an upgrade": http2(*GOOD, ("upgrade", "websocket"), ("connection", "upgrade")),
    "chunks": http2(*GOOD, ("transfer-encoding", "chunked"), body=IN_CHUNKS.encode()),
    "a connection": http2(*GOOD, ("connection", "x-a")),
    "another te": http2(*GOOD, ("te", "chunked")),
    "a length that is more": http2(*GOOD, ("content-length", "5"), body=SECRET.encode()),
    "a length that is less": http2(*GOOD, ("content-length", "500"), body=b"x"),
    "two lengths": http2(*GOOD, ("content-length", "0"), ("content-length", "1"), body=b"x"),
    "a length with a plus": http2(*GOOD, ("content-length", "+1"), body=b"x"),
    "a path in what follows": http2(*GOOD, body=b"x", trailers=((":path", "/admin/x"),)),
    "a websocket that no rule names": http2(
        (":method", "CONNECT"), *GOOD[1:], (":protocol", "websocket"), body=SECRET.encode()
    ),
    "a websocket to what is denied": http2((":method", "CONNECT"), *BAD[1:], (":protocol", "websocket"), body=b"x"),
    "HTTP/1 behind the beginning": PREFACE + SECRET.encode(),
    "a beginning behind HTTP/1": head(method="GET", path="/admin/x").encode() + http2(*BAD),
}


@pytest.mark.usefixtures("log")
def test_no_request_of_http2_that_is_none_passes(rig: Rig) -> None:
    rig.blocks()
    answers = rig.send(*MALFORMED.values(), http2(*GOOD))
    assert reached(answers[-1])
    assert [name for name, answer in zip(MALFORMED, answers, strict=False) if reached(answer)] == []
    assert len(rig.blocks()) == 1


@pytest.mark.usefixtures("log")
def test_each_stream_is_judged_by_itself(rig: Rig) -> None:
    rig.blocks()
    many = PREFACE + b"".join(stream(*(BAD if number % 4 == 1 else GOOD), number=number) for number in range(1, 40, 2))
    (answer,) = rig.send(many)
    assert answer.count(b"program") == 10
    assert answer.count(b"denied, decision") == 10
    assert len(rig.blocks()) == 10


@pytest.mark.usefixtures("log")
def test_a_host_beside_the_authority_is_not_passed_on(rig: Rig) -> None:
    rig.blocks()
    mine, other = pseudo("/host"), pseudo("/host", authority="other.shop")
    tried = {
        "the same": http2(*mine, ("host", "pay.shop")),
        "another": http2(*mine, ("host", "other.shop")),
        "the right one beside another": http2(*other, ("host", "pay.shop")),
        "alone": http2(*mine[:3], ("host", "pay.shop")),
        "alone, another": http2(*mine[:3], ("host", "other.shop")),
        "none": http2(*mine[:3]),
    }
    found = dict(zip(tried, map(reached, rig.send(*tried.values())), strict=True))
    assert not any(found[each] for each in ("the right one beside another", "alone, another", "none"))
    other_host = wire_rig.huffman("other.shop".replace(".", "-"))[:3]
    assert not any(other_host in each for blocks in rig.blocks() for each in blocks)


@pytest.mark.usefixtures("log")
def test_trailers_of_http2_carry_nothing_that_rules_or_programs_rest_on(rig: Rig) -> None:
    rig.blocks()
    trailers = (("x-checksum", "1"), (IDENTITY, THEIRS), ("x-env", "prod"))
    for shown, path in ((True, "/public/a"), (False, "/open")):
        (answer,) = rig.send(http2(*pseudo(path, "POST"), body=b"x", trailers=trailers), shown=shown)
        assert reached(answer)
        ((headers, behind),) = rig.blocks()
        assert (wire_rig.huffman(IDENTITY) in headers) is shown
        assert wire_rig.huffman("x-checksum") in behind
        assert wire_rig.huffman(IDENTITY) not in behind
        assert not shown or wire_rig.huffman("x-env") not in behind


@pytest.mark.usefixtures("log")
def test_floods_of_frames_end_a_connection_and_harm_nobody(rig: Rig) -> None:
    """Streams that are reset at once (CVE-2023-44487), headers without an end (CVE-2024-27316), empty frames."""
    reset = PREFACE + b"".join(
        stream(*GOOD, number=number) + wire_rig.frame(3, 0, number, b"\0\0\0\x08") for number in range(1, 6001, 2)
    )
    endless = PREFACE + wire_rig.frame(1, 0x1, 1, wire_rig.block(*GOOD))
    endless += wire_rig.frame(9, 0, 1, wire_rig.block(("x-a", "b" * 8000))) * 200
    empty = PREFACE + wire_rig.frame(1, 0x4, 1, wire_rig.block(*pseudo("/public/a", "POST")))
    empty += wire_rig.frame(0, 0, 1, b"") * 20_000
    settings = PREFACE + wire_rig.frame(4, 0, 0, b"") * 20_000
    pings = PREFACE + wire_rig.frame(6, 0, 0, b"12345678") * 20_000
    rig.send(reset, endless, empty, settings, pings)
    rig.blocks()
    (answer,) = rig.send(http2(*GOOD))
    assert reached(answer)


@pytest.mark.usefixtures("log")
def test_spaces_about_a_value_make_it_no_other(rig: Rig) -> None:
    """Programs take them off: a Deny of the value would be passed by."""
    values = ("dev ", " dev", "dev\t", "\tdev", "dev\x0b", "\x0cdev", "dev\x85", "\xa0dev", "dev\r", "dev\0", "dev \t ")
    text = "GET /note HTTP/1.1\r\nHost: pay.shop\r\nx-env:{}\r\nConnection: close\r\n\r\n"
    rig.seen()
    rig.send(*(text.format(each).encode("latin-1") for each in values))
    passed = {value for each in rig.seen() for value in each.read_as("x-env")}
    # Of bytes beyond ASCII each program thinks for itself.
    assert passed <= {"dev\x85", "\xa0dev"}
    answers = rig.send(*(http2(*pseudo("/note"), ("x-env", each)) for each in values))
    assert {each for each, answer in zip(values, answers, strict=True) if reached(answer)} <= {"dev\x85", "\xa0dev"}
    assert reached(rig.send(http2(*pseudo("/note"), ("x-env", "prod")))[0])
