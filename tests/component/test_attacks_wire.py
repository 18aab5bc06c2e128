"""Requests that no honest client sends, on a real Envoy: what its program reads has been judged, all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch
from ringfence.model.resources import AnonymousPeer, CidrPeer

from tests.component import request_rig, wire_rig
from tests.component.request_rig import HTTP_PORT
from tests.component.test_attacks_requests import on, paths
from tests.component.wire_rig import Rig, Seen, statuses
from tests.unit.policy.making import allow, caller, deny, policy

pytestmark = pytest.mark.component

PORT = (HTTP_PORT,)
RULES = (
    on(allow("public", caller("web"), ports=PORT), paths("/public/*")),
    on(allow("env", caller("web"), ports=PORT), paths("/env"), when=(HeaderCondition("x-env", Asks.IN, ("prod",)),)),
    on(allow("ws", caller("web"), ports=PORT), HttpMatch(paths=("/ws",), methods=("GET",), upgrades=("websocket",))),
    on(allow("host", caller("web"), ports=PORT), HttpMatch(paths=("/host",), hosts=("pay.shop",))),
    on(allow("note", caller("web"), ports=PORT), paths("/note")),
    on(deny("dev", ports=PORT), paths("/note"), when=(HeaderCondition("x-env", Asks.IN, ("dev",)),)),
    on(allow("net", CidrPeer("198.51.100.0/24"), ports=PORT), paths("/net")),
    on(allow("open", AnonymousPeer(), ports=PORT), paths("/open", "/open/*")),
    on(deny("admin", ports=PORT), paths("/admin", "/admin/*")),
)
#: A request that is denied, to be smuggled.
SECRET = "GET /admin/x HTTP/1.1\r\nHost: pay.shop\r\n\r\n"
IN_CHUNKS = f"{len(SECRET):x}\r\n{SECRET}\r\n0\r\n\r\n"
TOLD = f"Content-Length: {len(SECRET)}"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with wire_rig.network(tmp_path_factory.mktemp("wire")) as made:
        yield made


@pytest.fixture(scope="module")
def log(rig: Rig) -> Iterator[Path]:
    with rig.running(request_rig.config(request_rig.mesh(policy(ingress=RULES)))) as found:
        yield found
        assert rig.alive


def head(*lines: str, path: str = "/public/a", method: str = "POST", version: str = "HTTP/1.1") -> str:
    """The head of a request, to a path that is allowed."""
    return "\r\n".join((f"{method} {path} {version}", "Host: pay.shop", *lines, "", ""))


def clear(seen: Seen) -> bool:
    """Whether everybody reads a request alike, from its first line to its end."""
    names = [name.lower() for name, _ in seen.headers]
    lengths = [value for name, value in seen.headers if name.lower() == "content-length"]
    codings = [value for name, value in seen.headers if name.lower() == "transfer-encoding"]
    text = [*(each for pair in (*seen.headers, *seen.trailers) for each in pair), seen.line]
    return (
        not seen.odd
        and len(seen.line.split(" ")) == 3
        and len(lengths) + len(codings) <= 1
        and all(each.isdigit() for each in lengths)
        and codings in ([], ["chunked"])
        and not {"upgrade", "http2-settings", "keep-alive"} & set(names)
        and names.count("host") == 1
        and not any(char in each for each in text for char in "\r\n\0")
        and all(name and name == name.strip() and "without a colon" not in name for name, _ in seen.headers)
    )


#: A request that is allowed, with another behind it or in it, by the way in which they are told apart.
FRAMINGS = {
    "a length and chunks": head("Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n" + SECRET,
    "chunks and a length": head("Transfer-Encoding: chunked", TOLD) + "0\r\n\r\n" + SECRET,
    "two lengths": head("Content-Length: 0", TOLD) + SECRET,
    "two lengths, the other way": head(TOLD, "Content-Length: 0") + SECRET,
    "the same length twice": head(TOLD, TOLD) + SECRET,
    "a list of lengths": head(f"Content-Length: 0, {len(SECRET)}") + SECRET,
    "a length with a plus": head(f"Content-Length: +{len(SECRET)}") + SECRET,
    "a length in hex": head(f"Content-Length: 0x{len(SECRET):x}") + SECRET,
    "a length with a dot": head(f"Content-Length: {len(SECRET)}.0") + SECRET,
    "a length below zero": head("Content-Length: -1") + SECRET,
    "an empty length": head("Content-Length:") + SECRET,
    "a length of many zeros": head("Content-Length: " + "0" * 300 + str(len(SECRET))) + SECRET,
    "a length beyond 64 bits": head(f"Content-Length: {2**64 + len(SECRET)}") + SECRET,
    "a length behind a tab": head(f"Content-Length:\t{len(SECRET)}") + SECRET,
    "a length behind a vertical tab": head(f"Content-Length:\x0b{len(SECRET)}") + SECRET,
    "a length before a colon with a space": head(f"Content-Length : {len(SECRET)}") + SECRET,
    "a length with an underscore": head(f"Content_Length: {len(SECRET)}") + SECRET,
    "a length that is folded": head("X-A: b", f" Content-Length: {len(SECRET)}") + SECRET,
    "a length that ends in a fold": head("Content-Length: 0", f" {len(SECRET)}") + SECRET,
    "a length behind a bare CR": head(f"X-A: b\rContent-Length: {len(SECRET)}") + SECRET,
    "a length behind a bare LF": head(f"X-A: b\nContent-Length: {len(SECRET)}") + SECRET,
    "a length behind NUL": head(f"X-A: b\0Content-Length: {len(SECRET)}") + SECRET,
    "no length": head() + SECRET,
    "another coding": head("Transfer-Encoding: gzip") + IN_CHUNKS,
    "another coding before chunks": head("Transfer-Encoding: gzip, chunked") + IN_CHUNKS,
    "another coding behind chunks": head("Transfer-Encoding: chunked, identity") + IN_CHUNKS,
    "chunks twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + IN_CHUNKS,
    "chunks, and another line": head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + IN_CHUNKS,
    "chunks that are not": head("Transfer-Encoding: xchunked", TOLD) + SECRET,
    "chunks in quotes": head('Transfer-Encoding: "chunked"', TOLD) + SECRET,
    "chunks in capitals": head("TRANSFER-ENCODING: CHUNKED") + IN_CHUNKS,
    "chunks behind a tab": head("Transfer-Encoding:\tchunked") + IN_CHUNKS,
    "chunks behind a vertical tab": head("Transfer-Encoding:\x0bchunked", TOLD) + SECRET,
    "chunks before a colon with a space": head("Transfer-Encoding : chunked", TOLD) + "0\r\n\r\n" + SECRET,
    "chunks with an underscore": head("Transfer_Encoding: chunked", TOLD) + SECRET,
    "chunks that are folded": head("X-A: b", " Transfer-Encoding: chunked", TOLD) + SECRET,
    "chunks behind a bare CR": head("X-A: b\rTransfer-Encoding: chunked", TOLD) + SECRET,
    "chunks behind a bare LF": head("X-A: b\nTransfer-Encoding: chunked", TOLD) + SECRET,
    "chunks before a semicolon": head("Transfer-Encoding: chunked;q=1", TOLD) + SECRET,
    "an empty coding": head("Transfer-Encoding:", TOLD) + SECRET,
    "chunks that a connection names": head("Connection: transfer-encoding", "Transfer-Encoding: chunked") + IN_CHUNKS,
    "a length that a connection names": head("Connection: content-length", TOLD) + SECRET,
    "a host that a connection names": head("Connection: host", TOLD) + SECRET,
    "chunks with words": head("Transfer-Encoding: chunked") + f"2;a=b\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks with words and a bare LF": head("Transfer-Encoding: chunked")
    + f"2;\nxx\r\n{len(SECRET):x}\r\n0\r\n\r\n{SECRET}",
    "chunks with a bare LF": head("Transfer-Encoding: chunked") + f"2\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks with a bare CR": head("Transfer-Encoding: chunked") + f"2\r\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks with a plus": head("Transfer-Encoding: chunked") + f"+2\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks in hex with a prefix": head("Transfer-Encoding: chunked") + f"0x2\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks with a space": head("Transfer-Encoding: chunked") + f"2 \r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks behind a space": head("Transfer-Encoding: chunked") + f" 2\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks of many zeros": head("Transfer-Encoding: chunked") + f"{'0' * 40}2\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks beyond 64 bits": head("Transfer-Encoding: chunked") + f"{2**64 + 2:x}\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks below zero": head("Transfer-Encoding: chunked") + f"-2\r\nxx\r\n0\r\n\r\n{SECRET}",
    "chunks that end early": head("Transfer-Encoding: chunked") + f"2\r\nxxxx\r\n0\r\n\r\n{SECRET}",
    "chunks without an end": head("Transfer-Encoding: chunked") + f"2\r\nxx0\r\n\r\n{SECRET}",
    "chunks that end in a bare LF": head("Transfer-Encoding: chunked") + f"2\r\nxx\n0\n\n{SECRET}",
    "chunks with a length behind them": head("Transfer-Encoding: chunked") + f"0\r\n{TOLD}\r\n\r\n{SECRET}",
    "chunks with a line behind them": head("Transfer-Encoding: chunked") + f"0\r\n{SECRET}",
    "chunks in HTTP/1.0": head("Transfer-Encoding: chunked", version="HTTP/1.0") + IN_CHUNKS,
    "a body of GET": head(TOLD, method="GET") + SECRET,
    "a body of HEAD": head(TOLD, method="HEAD") + SECRET,
    "a body that waits": head(TOLD, "Expect: 100-continue") + SECRET,
    "a body that waits, or so": head(TOLD, "Expect: y 100-continue") + SECRET,
    "a body that waits twice": head(TOLD, "Expect: 100-continue", "Expect: 100-continue") + SECRET,
    "another protocol in the clear": head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA")
    + SECRET,
    "another protocol by half": head("Upgrade: websocket") + SECRET,
    "another protocol by half, the other half": head("Connection: Upgrade") + SECRET,
    "a length with letters behind": head(f"Content-Length: {len(SECRET)}abc") + SECRET,
}


@pytest.mark.usefixtures("log")
def test_nothing_is_smuggled_in_a_request(rig: Rig) -> None:
    """Neither behind one that is allowed nor behind one that is denied."""
    denied = {f"{name}, denied": text.replace("/public/a", "/admin/a") for name, text in FRAMINGS.items()}
    tried = {**FRAMINGS, **denied, "as it should be": head(TOLD) + "x" * len(SECRET)}
    rig.seen()
    answers = rig.send(*(text.encode("latin-1") for text in tried.values()))
    seen = rig.seen()
    assert statuses(answers[-1]) == [200]
    assert {each.line for each in seen} <= {f"{method} /public/a HTTP/1.1" for method in ("GET", "HEAD", "POST")}
    assert [each for each in seen if not clear(each)] == []
    passed = {name for name, answer in zip(tried, answers, strict=True) if 200 in statuses(answer)}
    assert len(seen) == len(passed), (passed, seen)
    assert not any("denied" in name for name in passed)


#: What stands on the first line, and is not as it should be.
FIRST_LINES = (
    "GET /admin/x", "GET /public/a HTTP/1.1 HTTP/1.1", "GET  /admin/x HTTP/1.1", "GET\t/admin/x HTTP/1.1",
    "GET /public/a\t/admin/x HTTP/1.1", "GET /public/a /admin/x HTTP/1.1", " GET /admin/x HTTP/1.1",
    "GET\x0b/admin/x HTTP/1.1", "GET /admin/x HTTP/2.0", "GET /admin/x HTTP/1.2", "GET /admin/x HTTP/0.9",
    "GET /admin/x http/1.1", "GET /admin/x HTTP/1.10", "GET /admin/x HTTP/1,1", "GET /admin/x ICY/1.1",
    "\r\n\r\nGET /admin/x HTTP/1.1", "\nGET /admin/x HTTP/1.1", "\0GET /admin/x HTTP/1.1",
    "GET /public/a\0/admin HTTP/1.1",
    "GET /public/a\r/admin HTTP/1.1", "GET http:///admin/x HTTP/1.1", "GET http://pay.shop@/admin/x HTTP/1.1",
    "GET http:/admin/x HTTP/1.1", "GET https://pay.shop/admin/x HTTP/1.1", "GET //pay.shop/admin/x HTTP/1.1",
    "GET http://pay.shop\\admin HTTP/1.1", "GET http://pay.shop?/public/a HTTP/1.1", "GET file:///admin/x HTTP/1.1",
    "GET pay.shop/admin/x HTTP/1.1", "GET ?/admin/x HTTP/1.1", "GET #/admin/x HTTP/1.1", "OPTIONS * HTTP/1.1",
    "OPTIONS /admin/x HTTP/1.1", "TRACE /admin/x HTTP/1.1", "PRI * HTTP/2.0", "CONNECT /admin/x HTTP/1.1",
    "CONNECT pay.shop:80 HTTP/1.1", "CONNECT http://pay.shop/admin/x HTTP/1.1", "GE\x7fT /admin/x HTTP/1.1",
    "GET: /admin/x HTTP/1.1", "G\xc9T /admin/x HTTP/1.1", "GET /admin/\xff HTTP/1.1", "GET /\xc0\xaf/admin/x HTTP/1.1",
    "GET /public/" + "a" * 120_000 + " HTTP/1.1", "GET /public/../" + "a/../" * 15_000 + "admin HTTP/1.1",
    "GET /admin/x?" + "&" * 80_000 + " HTTP/1.1", "A" * 100_000 + " /admin/x HTTP/1.1",
)  # fmt: skip


@pytest.mark.usefixtures("log")
def test_no_first_line_leads_to_what_is_denied(rig: Rig) -> None:
    rig.seen()
    tried = [f"{line}\r\nHost: pay.shop\r\nConnection: close\r\n\r\n" for line in FIRST_LINES]
    answers = rig.send(*(text.encode("latin-1") for text in tried), b"GET /admin/x\r\n", b"GET /admin/x\r\n\r\n")
    assert rig.seen() == []
    assert [answer for answer in answers if 200 in statuses(answer)] == []


@pytest.mark.usefixtures("log")
def test_requests_in_one_piece_are_judged_one_by_one(rig: Rig) -> None:
    """Pipelined, behind an allowed and behind a denied one, and in pieces of any size."""
    rig.seen()
    good, bad = (head(path=path, method="GET") for path in ("/public/a", "/admin/a"))
    post = head("Content-Length: 3", path="/admin/a") + "abc"
    last = head("Connection: close", method="GET")
    row = (good + bad + good + post + last).encode()
    pieces = [row[at : at + 7] for at in range(0, len(row), 7)]
    old = head(version="HTTP/1.0", method="GET") + SECRET
    (whole, split, old_) = rig.send(row, pieces, old.encode(), waits=8)
    judged = [200, 403, 200, 403, 200]
    # Behind a denial in the same piece the proxy may as well hang up.
    for found in (statuses(whole), statuses(split)):
        assert found == judged[: len(found)]
        assert len(found) > 1
    assert statuses(old_) == [200]
    assert {each.line for each in rig.seen()} == {"GET /public/a HTTP/1.1"}


#: What callers say of themselves, or of where a request shall go.
SAID = (
    *("x-envoy-original-path", "x-envoy-original-host", "x-envoy-original-url", "x-envoy-internal"),
    *("x-envoy-external-address", "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries"),
    *("x-envoy-retriable-status-codes", "x-envoy-retriable-header-names", "x-envoy-upstream-rq-timeout-ms"),
    *("x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-upstream-rq-timeout-alt-response"),
    *("x-envoy-upstream-alt-stat-name", "x-envoy-expected-rq-timeout-ms", "x-envoy-hedge-on-per-try-timeout"),
    *("x-envoy-decorator-operation", "x-envoy-downstream-service-cluster", "x-envoy-downstream-service-node"),
    *("x-envoy-force-trace", "x-envoy-ip-tags", "x-envoy-attempt-count", "x-envoy-is-timeout-retry"),
)


@pytest.mark.usefixtures("log")
def test_what_callers_tell_the_proxy_is_not_heard(rig: Rig) -> None:
    """The program would be asked again and again otherwise."""
    rig.seen()
    values = {
        "x-envoy-retry-on": "5xx,retriable-4xx,retriable-status-codes",
        "x-envoy-max-retries": "20",
        "x-envoy-retriable-status-codes": "503,404",
        "x-envoy-upstream-alt-stat-name": "other",
    }
    lines = [f"{name}: {values.get(name, '1')}" for name in SAID]
    lines.append("x-envoy-original-dst-host: 127.0.0.1:1")
    for shown in (True, False):
        base = "/public" if shown else "/open"
        answers = rig.send(*(head(*lines, path=f"{base}/{code}").encode() for code in (200, 503)), shown=shown)
        assert [statuses(each) for each in answers] == [[200], [503]]
        seen = rig.seen()
        assert sorted(each.line for each in seen) == [f"POST {base}/{code} HTTP/1.1" for code in (200, 503)]
        told = {name.lower() for each in seen for name, _ in each.headers}
        # These two say something to programs alone.
        assert told & set(SAID) <= {"x-envoy-external-address", "x-envoy-attempt-count", "x-envoy-is-timeout-retry"}


IDENTITY = "x-forwarded-client-cert"
OURS = "URI=spiffe://cluster.local/ns/shop/sa/web"
THEIRS = "URI=spiffe://cluster.local/ns/shop/sa/admin"
#: A name, and what programs of CGI and WSGI take for it.
ALIKE = ("X-Forwarded-Client-Cert", "x_forwarded_client_cert", "X-Forwarded_Client-Cert", "x-forwarded-client_cert")


@pytest.mark.usefixtures("log")
def test_nobody_but_the_proxy_says_who_calls(rig: Rig) -> None:
    """In no spelling, in no place and with no other word."""
    rig.seen()
    chunk = "0\r\n{}: {}\r\n\r\n"
    forms = {
        **{f"as {name}": head(f"{name}: {THEIRS}") for name in ALIKE},
        "twice": head(f"{IDENTITY}: {THEIRS}", f"{IDENTITY}: {THEIRS}"),
        "named by the connection": head(f"Connection: close, {IDENTITY}", f"{IDENTITY}: {THEIRS}"),
        **{
            f"behind the body as {name}": head("Transfer-Encoding: chunked", f"Trailer: {name}")
            + chunk.format(name, THEIRS)
            for name in ALIKE
        },
    }
    for shown, path in ((True, "/public/a"), (False, "/open")):
        sent = [text.replace("/public/a", path).encode() for text in forms.values()]
        answers = rig.send(*sent, shown=shown)
        assert all(set(statuses(each)) <= {200, 400, 403} for each in answers)
        seen = rig.seen()
        assert len(seen) >= len(ALIKE)
        for each in seen:
            found = each.read_as(IDENTITY)
            assert len(found) == (1 if shown else 0), (each, found)
            assert all(value.endswith(OURS) and "admin" not in value for value in found)


@pytest.mark.usefixtures("log")
def test_what_follows_a_body_is_no_header(rig: Rig) -> None:
    """Some programs read trailers as headers: what rules compare does not get there in them. Others pass."""
    rig.seen()
    tail = "0\r\nx-env: prod\r\nX_Env: prod\r\nX-Method_Override: DELETE\r\nx-checksum: 1\r\n\r\n"
    for path, status in (("/env", 403), ("/public/a", 200)):
        (answer,) = rig.send((head("Transfer-Encoding: chunked", path=path) + tail).encode())
        assert statuses(answer) == [status]
    (seen,) = rig.seen()
    assert seen.trailers == (("x-checksum", "1"),)


@pytest.mark.usefixtures("log")
def test_of_hosts_there_is_one(rig: Rig) -> None:
    rig.seen()
    good = "GET /host HTTP/1.1\r\nHost: pay.shop\r\n{}\r\n"
    extra = ("Host: other.shop\r\n", "Host : other.shop\r\n", "\x0bHost: other.shop\r\n", " Host: other.shop\r\n")
    tried = [good.format(each) for each in extra]
    tried += [f"GET /host HTTP/1.1\r\nHost:{each}\r\n\r\n" for each in ("\tpay.shop", " pay.shop\0", " pay.shop\x0b")]
    tried += ["GET /host HTTP/1.1\r\nHost: other.shop\r\nHost: pay.shop\r\n\r\n"]
    tried += ["GET http://pay.shop/host HTTP/1.1\r\nHost: other.shop\r\n\r\n", "GET /host HTTP/1.0\r\n\r\n"]
    rig.send(*(text.encode("latin-1") for text in tried))
    seen = rig.seen()
    assert {tuple(each.read_as("host")) for each in seen} <= {("pay.shop",)}
    assert all(clear(each) for each in seen)


@pytest.mark.usefixtures("log")
def test_an_address_is_not_what_a_caller_says_it_is(rig: Rig) -> None:
    rig.seen()
    names = ("x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "x-envoy-external-address", "x-client-ip")
    lines = [f"{name}: 198.51.100.7" for name in names]
    rig.send(
        head(*lines, path="/net").encode(), head("x-envoy-internal: true", *lines, path="/net").encode(), shown=False
    )
    rig.send(b"PROXY TCP4 198.51.100.7 10.244.0.1 99 8080\r\n" + head(path="/net").encode(), shown=False)
    assert rig.seen() == []
