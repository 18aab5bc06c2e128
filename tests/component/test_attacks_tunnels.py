"""Ways around rules about tunnels (CONNECT), on a real Envoy: into one, through one, and beside one."""

from collections.abc import Iterator

import pytest
from ringfence.model.requests import HttpMatch

from tests.component import request_rig, wire_rig
from tests.component.request_rig import API, HTTP_PORT
from tests.component.test_attacks_requests import on, paths
from tests.component.wire_rig import PREFACE, Rig, http2, pseudo, reached, statuses, stream
from tests.unit.policy.making import allow, caller, policy

pytestmark = pytest.mark.component

PORT = (HTTP_PORT,)
TUNNELS = on(allow("tunnels", caller("web"), ports=PORT), HttpMatch(("CONNECT",), hosts=("pay.shop",)))
SOME = on(allow("some", caller("web"), caller("api"), ports=PORT), paths("/public/*"))
#: What would be a request to a program that takes what is in a tunnel for more of them.
SECRET = "GET /admin/x HTTP/1.1\r\nHost: pay.shop\r\n\r\n"
CONNECT = (":method", "CONNECT")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with wire_rig.network(tmp_path_factory.mktemp("tunnels")) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def _running(rig: Rig) -> Iterator[None]:
    with rig.running(request_rig.config(request_rig.mesh(policy(ingress=(TUNNELS, SOME))))):
        yield
        assert rig.alive


def head(*lines: str, to: str = "pay.shop:200") -> str:
    return "\r\n".join((f"CONNECT {to} HTTP/1.1", f"Host: {to}", *lines, "", ""))


def test_what_is_sent_behind_waits_until_the_program_has_opened_the_tunnel(rig: Rig) -> None:
    """A program that does not would take it for more requests, which no rule has seen."""
    rig.seen()
    refused = head(to="pay.shop:403")
    answers = rig.send(*((refused + SECRET).encode(), [refused.encode(), SECRET.encode(), SECRET.encode()]))
    assert [statuses(each)[0] for each in answers] == [403, 403]
    assert {each.line for each in rig.seen()} == {"CONNECT pay.shop:403 HTTP/1.1"}
    # To the proxy one that answers 200 has opened it: what is in it is between it and its caller.
    (answer,) = rig.send((head() + SECRET).encode())
    assert statuses(answer)[0] == 200
    assert [each.line for each in rig.seen()] == ["CONNECT pay.shop:200 HTTP/1.1", "GET /admin/x HTTP/1.1"]


#: What is none, in HTTP/1.1.
ODD = {
    "a body": head("Content-Length: 5") + "abcde",
    "chunks": head("Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n",
    "both": head("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n",
    "an upgrade": head("Connection: Upgrade", "Upgrade: websocket"),
    "another upgrade": head("Connection: Upgrade", "Upgrade: CONNECT"),
    "a path": head(to="/public/a"),
    "a path at a host": head(to="pay.shop:200/public/a"),
    "a whole URL": head(to="http://pay.shop/public/a"),
    "no port": head(to="pay.shop"),
    "somebody at a host": head(to="x@pay.shop:200"),
    "another host": head(to="other.shop:200"),
    "another Host": "CONNECT other.shop:200 HTTP/1.1\r\nHost: pay.shop:200\r\n\r\n",
    "two Hosts": "CONNECT other.shop:200 HTTP/1.1\r\nHost: pay.shop:200\r\nHost: other.shop:200\r\n\r\n",
    "a name that begins alike": head(to="pay.shopping:443"),
    "small letters": head().replace("CONNECT", "connect"),
    "HTTP/1.0 elsewhere": head(to="other.shop:200").replace("HTTP/1.1", "HTTP/1.0"),
}


def test_what_is_no_tunnel_or_leads_elsewhere_does_not_pass(rig: Rig) -> None:
    rig.seen()
    answers = rig.send(*((text + SECRET).encode() for text in ODD.values()))
    passed = {name for name, answer in zip(ODD, answers, strict=True) if reached(answer)}
    assert passed == set()
    assert [each.line for each in rig.seen()] == []


#: The same in HTTP/2.
ODD_HTTP2 = {
    "a path": http2(CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], body=b"x"),
    "bytes as a protocol": http2(
        CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], (":protocol", "bytestream"), body=b"x"
    ),
    "bytes as a protocol, elsewhere": http2(
        CONNECT, *pseudo("/admin", authority="pay.shop:200")[1:], (":protocol", "bytestream"), body=b"x"
    ),
    "a protocol alone": http2(CONNECT, (":authority", "pay.shop:200"), (":protocol", "bytestream"), body=b"x"),
    "an empty protocol": http2(
        CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], (":protocol", ""), body=b"x"
    ),
    "a WebSocket": http2(
        CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], (":protocol", "websocket"), body=b"x"
    ),
    "UDP": http2(CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], (":protocol", "connect-udp"), body=b"x"),
    "CONNECT as a protocol": http2(
        CONNECT, *pseudo("/public/a", authority="pay.shop:200")[1:], (":protocol", "CONNECT"), body=b"x"
    ),
    "another host": http2(CONNECT, (":authority", "other.shop:200"), body=b"x"),
    "another host beside it": http2(CONNECT, (":authority", "other.shop:200"), ("host", "pay.shop:200"), body=b"x"),
    "no authority": http2(CONNECT, body=b"x"),
    "a scheme": http2(CONNECT, (":scheme", "http"), (":authority", "other.shop:200"), body=b"x"),
    "small letters": http2((":method", "connect"), (":authority", "pay.shop:200"), body=b"x"),
}


def test_what_is_no_tunnel_in_http2_does_not_pass(rig: Rig) -> None:
    rig.blocks()
    answers = rig.send(*ODD_HTTP2.values())
    passed = {name for name, answer in zip(ODD_HTTP2, answers, strict=True) if reached(answer)}
    assert passed == set()
    assert rig.blocks() == []


def test_who_may_send_requests_may_open_no_tunnel(rig: Rig) -> None:
    rig.seen()
    forms = [head().encode(), PREFACE + stream(CONNECT, (":authority", "pay.shop:200"), body=b"x")]
    assert not any(map(reached, rig.send(*forms, source=API)))
    assert not any(map(reached, rig.send(*forms, shown=False)))
    assert rig.seen() == []
    (answer,) = rig.send(b"GET /public/a HTTP/1.1\r\nHost: pay.shop\r\nConnection: close\r\n\r\n", source=API)
    assert reached(answer)


def test_a_tunnel_that_is_denied_opens_nothing_behind_it(rig: Rig) -> None:
    """On one connection: the proxy hangs up, or reads on as HTTP what is judged as such."""
    rig.seen()
    denied = head(to="other.shop:200")
    rig.send((denied + SECRET).encode(), [denied.encode(), SECRET.encode()], [denied.encode(), head().encode()])
    assert not [each.line for each in rig.seen() if "admin" in each.line or "other" in each.line]
