"""Ways to call a host that no rule names, by what is said of names: on a real Envoy only the named are reached."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.component import host_rig
from tests.component.host_rig import HOSTS, Outside, http
from tests.component.node_rig import eventually
from tests.component.test_proxy_hosts import RULES
from tests.component.wire_rig import PREFACE, block, pseudo, stream

pytestmark = pytest.mark.component

API, OTHER = "api.example.com", "other.example"
ELSEWHERE = "20.9.9.9"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with host_rig.outside(tmp_path_factory.mktemp("outside")) as made:
        made.knows({API: [HOSTS[0]], OTHER: [HOSTS[1]], "a.wide.example": [HOSTS[0]]})
        yield made


@pytest.fixture(scope="module")
def log(outside: Outside) -> Iterator[Path]:
    with outside.proxied(host_rig.world(*RULES)) as found:
        yield found


def sent(*pieces: bytes, port: int = 443, **rest: Any) -> dict[str, Any]:
    """These bytes, with a pause between the pieces."""
    first, *others = (each.decode("latin-1") for each in pieces)
    return {"to": ELSEWHERE, "port": port, "raw": first, "then": others, **rest}


def plain(text: str | bytes) -> dict[str, Any]:
    return sent(text if isinstance(text, bytes) else text.encode("latin-1"), port=80)


# --- TLS --------------------------------------------------------------------------------------------------------------


def _two(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _two(data)


def sni(*names: str, kind: int = 0) -> bytes:
    """The extension with these names (RFC 6066 section 3)."""
    return extension(0, _two(b"".join(bytes((kind,)) + _two(each.encode("latin-1")) for each in names)))


#: Version 1.3, a group, signatures and an empty share, without which nobody goes on.
_MODERN = (
    extension(43, b"\x04\x03\x04\x03\x03")
    + extension(10, _two(b"\0\x1d\0\x17"))
    + extension(13, _two(b"\x04\x03\x08\x04"))
    + extension(51, _two(b""))
)


def message(*extensions: bytes, version: bytes = b"\3\3", modern: bytes = _MODERN) -> bytes:
    """A ClientHello (RFC 8446 section 4.1.2)."""
    body = version + bytes(32) + b"\0" + _two(b"\x13\x01\xc0\x2f\xc0\x13\0\x2f") + b"\x01\0"
    body += _two(b"".join(extensions) + modern)
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(handshake: bytes, size: int = 16_384, version: bytes = b"\3\1") -> list[bytes]:
    parts = (handshake[at : at + size] for at in range(0, len(handshake), size))
    return [b"\x16" + version + _two(each) for each in parts]


def hello(*extensions: bytes, **rest: Any) -> bytes:
    return b"".join(records(message(*extensions, **rest)))


NAMED = hello(sni(API))
#: They name the host that is allowed, oddly written or cut.
ALLOWED = {
    "as it should be": [NAMED],
    "in capitals": [hello(sni(API.upper()))],
    "byte by byte": [NAMED[at : at + 1] for at in range(12)] + [NAMED[12:]],
    "in records of ten bytes": [b"".join(records(message(sni(API)), 10))],
    "of TLS 1.0": [hello(sni(API), version=b"\3\1", modern=b"")],
    "of TLS 1.2": [hello(sni(API), modern=extension(10, _two(b"\0\x17")) + extension(13, _two(b"\x04\x03")))],
    "with the name at its end": [hello(extension(21, bytes(500)), _MODERN, modern=sni(API))],
}
#: They name another host as well, or nobody that can be told.
REFUSED = {
    "another": [hello(sni(OTHER))],
    "another behind it": [hello(sni(API, OTHER))],
    "another before it": [hello(sni(OTHER, API))],
    "another extension before it": [hello(sni(OTHER), sni(API))],
    "another extension behind it": [hello(sni(API), sni(OTHER))],
    "another kind of name": [hello(sni(API, kind=1))],
    "an empty name": [hello(sni(""))],
    "no names": [hello(extension(0, b"\0\0"))],
    "a name that is cut": [hello(extension(0, _two(b"\0\0\x20api")))],
    "bytes behind the name": [hello(extension(0, _two(b"\0" + _two(API.encode())) + b"x"))],
    "no extensions": [hello(modern=b"")],
    "a hello within a name hidden by ECH": [hello(sni(OTHER), extension(0xFE0D, b"\0" + bytes(40) + API.encode()))],
    "in full width": [hello(sni("\uff41pi.example.com".encode().decode("latin-1")))],
    "as punycode": [hello(sni("xn--pi-.example.com"))],
    "a dotless i": [hello(sni("ap\u0131.example.com".encode().decode("latin-1")))],
    "an ideographic full stop": [hello(sni("api\u3002example.com".encode().decode("latin-1")))],
    "a NUL and another": [hello(sni(f"{OTHER}\0{API}"))],
    "a percent": [hello(sni("%61pi.example.com"))],
    "two names in one": [hello(sni(f"{API} {OTHER}"))],
    "a comma": [hello(sni(f"{API},{OTHER}"))],
    "a format": [hello(sni("%REQUESTED_SERVER_NAME%"))],
    "another, then it": [hello(sni(OTHER)), NAMED],
    "another in the clear before it": [b"GET / HTTP/1.1\r\nHost: other.example:443\r\n\r\n", NAMED],
    "of SSL 2": [b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10" + bytes(37)],
    "a proxy's words before it": [b"PROXY TCP4 1.2.3.4 20.0.0.2 1 443\r\n" + NAMED],
    "a proxy's words, in binary": [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + NAMED],
    "SOCKS": [b"\x05\x01\0", b"\x05\x01\0\x03\x0fapi.example.com\x01\xbb"],
    "an alert before it": [b"\x15\3\1\0\2\1\0" + NAMED],
    "half of it": [NAMED[: len(NAMED) // 2]],
}


@pytest.mark.usefixtures("log")
def test_the_name_in_a_hello_is_found_however_it_comes(outside: Outside) -> None:
    found = outside.call([sent(*pieces) for pieces in ALLOWED.values()])
    assert dict(zip(ALLOWED, found, strict=True)) == dict.fromkeys(ALLOWED, f"reached {HOSTS[0]}")


@pytest.mark.usefixtures("log")
def test_no_hello_leads_to_another_host(outside: Outside) -> None:
    """What two readers would read in two ways, and what is longer than anybody reads, reaches nobody."""
    long = {}
    for count in (3, 6):
        padding = (extension(number, bytes(8000)) for number in range(7000, 7000 + count))
        long[f"of {count} times 8 kB"] = [b"".join(records(message(*padding, sni(API))))]
    outside.reached()
    tried = {**REFUSED, **long}
    found = outside.call([sent(*pieces) for pieces in tried.values()])
    assert {name: each for name, each in zip(tried, found, strict=True) if not each.startswith("refused")} == {}
    assert outside.reached() == set()


# --- plain HTTP -------------------------------------------------------------------------------------------------------

ODD_HOSTS = (
    "api.example.com:080",
    "api.example.com:+80",
    "api.example.com:0x50",
    "api.example.com: 80",
    "api.example.com:80:80",
    "api.example.com:",
    "api.example.com:80 ",
    "api.example.com\x0b",
    "api.example.com/",
    "api.example.com?",
    "api.example.com#",
    "api.example.com\\",
    "api.example.com%00",
    "%61pi.example.com",
    "[api.example.com]",
    "[::ffff:20.0.0.2]",
    "0x14000002",
    "335544322",
    "20.0.0.2",
    "024.0.0.2",
    "20.2",
    "\uff41pi.example.com",
    "api\u3002example.com",
    "other.example api.example.com",
    "other.example\tapi.example.com",
    "api.example.com;other.example",
    "other.example/api.example.com",
    "api.example.com@other.example",
    "other.example:80@api.example.com",
    "api.example.com.other.example",
    "other.example#api.example.com",
    "*",
    "*.wide.example",
    "-.b.wide.example",
    "a%2eb.wide.example",
    "a_.b.wide.example",
    "..wide.example",
    "a.wide.example.",
)


@pytest.mark.usefixtures("log")
def test_no_writing_of_a_host_leads_to_another(outside: Outside) -> None:
    outside.reached()
    calls = [http(each.encode().decode("latin-1")) for each in ODD_HOSTS]
    found = dict(zip(ODD_HOSTS, outside.call(calls), strict=True))
    # A space at the end is none of the value's (RFC 9110 section 5.5).
    assert found.pop("api.example.com:80 ") == f"reached {HOSTS[0]}"
    assert {name: each for name, each in found.items() if not each.startswith("refused")} == {}
    assert outside.reached() == {HOSTS[0]}


def _get(host: str, *lines: str, end: str = "") -> str:
    return "\r\n".join(("GET / HTTP/1.1", f"Host: {host}", *lines, "", end))


#: Requests in which the host that is allowed stands somewhere, and another elsewhere.
BESIDE = {
    "pipelined": _get(API) + _get(OTHER) + _get(API),
    "in its body": _get(API, f"Content-Length: {len(_get(OTHER))}", end=_get(OTHER)),
    "behind its body": _get(API, "Transfer-Encoding: chunked", end="0\r\n\r\n" + _get(OTHER)),
    "two lengths": _get(API, "Content-Length: 0", "Content-Length: 9", end=_get(OTHER)),
    "a second Host": _get(API, f"Host: {OTHER}"),
    "a first Host": _get(OTHER, f"Host: {API}"),
    "a folded Host": _get(API, f" {OTHER}"),
    "an original destination": _get(API, f"x-envoy-original-dst-host: {HOSTS[1]}:80"),
    "an original host": _get(OTHER, f"x-envoy-original-host: {API}", f"x-forwarded-host: {API}"),
    "a forwarded host": _get(API, f"x-forwarded-host: {OTHER}", f"forwarded: host={OTHER}"),
    "retries elsewhere": _get(API, "x-envoy-retry-on: 5xx", f"x-envoy-upstream-alt-stat-name: {OTHER}"),
    "a Host that the connection names": _get(API, "Connection: host", f"x-host: {OTHER}"),
    "an upgrade": _get(OTHER, "Connection: Upgrade", "Upgrade: websocket"),
    "an upgrade to HTTP/2": _get(API, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA")
    + _get(OTHER),
    "an upgrade to TLS": _get(API, "Connection: Upgrade", "Upgrade: TLS/1.0") + _get(OTHER),
    "a tunnel behind it": _get(API) + f"CONNECT {OTHER}:80 HTTP/1.1\r\nHost: {OTHER}:80\r\n\r\n",
    "a tunnel within": f"CONNECT {API}:80 HTTP/1.1\r\nHost: {API}:80\r\n\r\n" + _get(OTHER),
    "the first line of old": f"GET http://{OTHER}/\r\n" + _get(API),
    "HTTP/1.0": f"GET / HTTP/1.0\r\nHost: {OTHER}\r\n\r\n",
}


@pytest.mark.usefixtures("log")
def test_nothing_beside_an_allowed_host_reaches_another(outside: Outside) -> None:
    """Each request of a connection is judged by itself, whatever came before it."""
    outside.reached()
    later = http(API, line="GET / HTTP/1.1") | {"again": [{"after": 0.2, "within": 2, "raw": _get(OTHER)}]}
    later["raw"] = _get(API)
    found = outside.call([*map(plain, BESIDE.values()), later])
    assert outside.reached() == {HOSTS[0]}, dict(zip(BESIDE, found, strict=False))
    assert found[0] == f"reached {HOSTS[0]}"


@pytest.mark.usefixtures("log")
def test_each_stream_of_http2_is_judged_by_its_own_host(outside: Outside) -> None:
    """The hosts here speak no HTTP/2, but who was reached is known."""
    outside.reached()
    mine, other = pseudo("/", authority=API), pseudo("/", authority=OTHER)
    connect = ((":method", "CONNECT"), (":authority", f"{OTHER}:80"))
    bad = {
        "another": stream(*other),
        "another's name in host": stream(*other, ("host", API)),
        "in host alone": stream(*mine[:3], ("host", OTHER)),
        "twice": stream(*mine, (":authority", OTHER)),
        "a tunnel": stream(*connect, body=b"x"),
        "a tunnel for a protocol": stream((":method", "CONNECT"), *other[1:], (":protocol", "websocket"), body=b"x"),
        "as the scheme": stream(other[0], (":scheme", f"http://{API}/"), *other[2:]),
    }
    outside.call([plain(PREFACE + each) for each in bad.values()])
    assert outside.reached() == set()
    both = PREFACE + stream(*mine) + stream(*other, number=3) + stream(*other, ("x-a", "b"), number=5)
    outside.call([plain(both), plain(PREFACE + stream(*mine, ("host", OTHER)))])
    assert outside.reached() == {HOSTS[0]}
    assert block(*mine)


def test_the_log_has_what_was_asked_and_not_what_a_program_says_of_it(outside: Outside, log: Path) -> None:
    lines = ("x-envoy-original-path: /innocent", "x-envoy-original-host: innocent.example", "Connection: close")
    text = "\r\n".join(("GET /guilty HTTP/1.1", f"Host: {API}", *lines, "", ""))
    assert outside.call([plain(text)]) == [f"reached {HOSTS[0]}"]

    def paths() -> list[str]:
        found = [json.loads(each) for each in log.read_text().splitlines() if each.endswith("}")]
        return [str(each["path"]) for each in found if each.get("host") == API and len(each.get("path", "")) > 1]

    # Envoy writes its log out every ten seconds.
    eventually(lambda: "/guilty" in paths() or "/innocent" in paths(), 40)
    assert "/guilty" in paths()
    assert "innocent" not in log.read_text()
