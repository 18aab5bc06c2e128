"""Records in every format, and everything that is none."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringfence.flows import reading
from ringfence.flows.flow import Flow, Party, View
from ringfence.flows.reading import MANY, MAX_LINE, Tally
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol

from tests.unit.flows.records import AT, HUBBLE, INBOUND, OUTBOUND, OWN, hubble, one, read, refused

# --- Ringfence's own --------------------------------------------------------------------------------------------------


def test_own_connection() -> None:
    assert one(OWN) == Flow(
        Party("shop", "web", named=True), Party("shop", "api", named=True), Protocol.TCP, 8080, AT, AT
    )


def test_own_request_with_everything() -> None:
    found = one(
        {
            **OWN,
            "last": "2027-01-15T09:00:00+01:00",
            "count": 7,
            "plaintext": True,
            "verdict": "denied",
            "method": "POST",
            "path": "/charges?x=1",
            "host": "pay.shop",
            "headers": {"X-Env": "prod", "via": ["a", "b"]},
            "upgrade": "websocket",
        }
    )
    assert (found.first, found.last, found.count, found.plaintext, found.denied) == (AT, AT, 7, True, True)
    headers = {"x-env": ("prod",), "via": ("a", "b")}
    assert found.request == Request("POST", "/charges?x=1", "pay.shop", headers, "websocket")
    assert found.headers


@pytest.mark.parametrize(
    ("text", "party"),
    [
        ("shop/web", Party("shop", "web", named=True)),
        ("pod:shop/web-0", Party("shop", pod="web-0")),
        ("ip:10.0.0.1", Party(ip="10.0.0.1")),
        ("ip:2001:DB8::1", Party(ip="2001:db8::1")),
        ("ip:::ffff:10.0.0.1", Party(ip="10.0.0.1")),
        ("spiffe://example.org/ns/shop/sa/web", Party("shop", "web", domain="example.org")),
    ],
)
def test_own_ends(text: str, party: Party) -> None:
    assert one({**OWN, "source": text}).source == party


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "web"}, "source 'web' is no end of a call"),
        ({"source": "a/b/c"}, "source 'a/b/c' is no end of a call"),
        ({"source": "shop/Web"}, "source 'shop/Web' is no end of a call"),
        ({"target": "zone:front"}, "target 'zone:front' is no end of a call"),
        ({"target": "ip:10.0.0.256"}, "target '10.0.0.256' is no address"),
        ({"target": "spiffe://cluster.local/web"}, "is no ID of a ServiceAccount"),
        ({"port": 0}, "port 0 is no port: 1 to 65535"),
        ({"port": 65536}, "port 65536 is no port"),
        ({"port": "http"}, "port: expected `int`, got `str`"),
        ({"count": 0}, "count 0 is no number of calls"),
        ({"time": "yesterday"}, "time 'yesterday' is no time"),
        ({"time": "2027-01-15T08:00:00"}, "has no zone"),
        ({"last": "2027-01-15T07:00:00Z"}, "last is before time"),
        ({"pth": "/a"}, "there is no field `pth`"),
        ({"protocol": "ICMP"}, "protocol: invalid enum value 'ICMP'"),
        ({"protocol": "UDP", "path": "/a"}, "requests are sent over TCP"),
        ({"method": "GET /"}, "method 'GET /' is no method"),
        ({"headers": {"a b": "c"}}, "headers: 'a b' is no name of a header"),
    ],
)
def test_own_mistakes(change: dict[str, Any], message: str) -> None:
    assert message in refused({**OWN, **change})


def test_own_without_a_port() -> None:
    assert refused({"source": "shop/web", "target": "shop/api"}) == "it has no required field `port`"


# --- access logs ------------------------------------------------------------------------------------------------------


def test_inbound_connection() -> None:
    found = one(INBOUND)
    assert found.source == Party("shop", "web", ip="10.244.0.2", domain="cluster.local")
    assert found.target == Party(ip="10.244.0.1", local=True)
    assert (found.port, found.view, found.denied, found.plaintext) == (8080, View.TARGET, False, False)
    assert found.request is None
    assert (found.first, found.last) == (AT + 0.25, AT + 0.25)


def test_inbound_request() -> None:
    found = one({**INBOUND, "method": "GET", "path": "/a", "host": "api.shop", "code": 200})
    assert found.request == Request("GET", "/a", "api.shop", {})
    assert not found.headers


def test_a_request_that_changed_its_protocol() -> None:
    found = one({**INBOUND, "method": "GET", "path": "/live", "host": "api.shop", "code": 101}).request
    assert found is not None
    assert found.upgrade == "websocket"


def test_inbound_plaintext() -> None:
    line = {key: value for key, value in INBOUND.items() if key not in {"peer", "tls"}}
    found = one({**line, "answer": "allowed", "rule": "shop/p#web"})
    assert found.plaintext
    assert not found.denied
    assert found.source == Party(ip="10.244.0.2")


@pytest.mark.parametrize(
    "change",
    [
        {"answer": "denied", "rule": "shop/p#web"},
        {"details": "rbac_access_denied_matched_policy[none]"},
        {"failure": "TLS_error:|33554536:system_library:OPENSSL_internal:Connection_reset"},
    ],
)
def test_inbound_denied(change: dict[str, Any]) -> None:
    found = one({**INBOUND, **change})
    assert found.denied
    assert not found.plaintext


def test_outbound() -> None:
    found = one(OUTBOUND)
    assert found.source == Party(ip="10.244.0.2", local=True)
    assert found.target == Party("shop", "api", ip="10.244.0.1", domain="cluster.local")
    assert (found.port, found.view, found.denied, found.plaintext) == (8080, View.SOURCE, False, False)


@pytest.mark.parametrize("change", [{"method": "GET", "code": 403}, {"upstreamFailure": "no"}, {"upstream": ""}])
def test_outbound_that_came_to_nothing(change: dict[str, Any]) -> None:
    assert one({**OUTBOUND, **change}).denied


def test_addresses_of_ipv6() -> None:
    found = one({**INBOUND, "destination": "[2001:db8::1]:8080"})
    assert (found.target.ip, found.port) == ("2001:db8::1", 8080)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"destination": "10.244.0.1"}, "destination '10.244.0.1' is no address with a port"),
        ({"destination": "/run/socket"}, "is no address with a port"),
        ({"source": "web:80"}, "source 'web' is no address"),
        ({"peer": "spiffe://cluster.local"}, "peer 'spiffe://cluster.local'"),
        ({"time": "now"}, "time 'now' is no time"),
        ({"method": 1}, "method: expected `str`"),
    ],
)
def test_mistakes_in_access_logs(change: dict[str, Any], message: str) -> None:
    assert message in refused({**INBOUND, **change})


@pytest.mark.parametrize(
    "prefix",
    [
        "[pod/api-0/ringfence-proxy] ",
        "2027-01-15T08:00:00.123456789Z ",
        "2027-01-15T08:00:00.123456789+00:00 stdout F ",
    ],
)
def test_what_stands_before_a_line_of_a_log(prefix: str) -> None:
    assert one(prefix + json.dumps(INBOUND)) == one(INBOUND)


def test_whose_log_it_is() -> None:
    owner = Party("shop", "api", named=True)
    assert one(INBOUND, owner).target == Party("shop", "api", ip="10.244.0.1", named=True)
    assert one({**OUTBOUND}, Party("shop", "web", named=True)).source == Party(
        "shop", "web", ip="10.244.0.2", named=True
    )
    assert one(OWN, owner) == one(OWN)


# --- anything else ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("garbage", "is no JSON: 'garbage'"),
        ("{}", "is no record of a call"),
        ('{"a": 1}', "is no record of a call"),
        ("[1, 2]", "is no JSON"),
        ('{"source": "shop/we', "is no JSON"),
        ('{"source": "\udcff"}', "is no JSON"),
        ("{" * 5000, "is no JSON"),
        ('{"a":' * 5000, "is no JSON"),
    ],
)
def test_garbage(line: str, message: str) -> None:
    assert message in refused(line)


def test_formats_may_be_mixed() -> None:
    flows, tally = read(OWN, INBOUND, HUBBLE, OWN, "", "   ", OUTBOUND)
    assert len(flows) == 5
    assert dict(tally.flows) == {"ringfence": 2, "access log": 2, "hubble": 1}
    assert tally.lines == 5


def test_the_first_complaints_are_kept_with_their_lines_and_all_are_counted() -> None:
    flows, tally = read(*(["garbage", OWN] * 20))
    assert len(flows) == 20
    assert tally.bad == 20
    assert [place for place, _ in tally.complaints] == [f"log:{2 * number + 1}" for number in range(MANY)]


def test_a_file_that_is_cut_off_is_told() -> None:
    text = json.dumps(OWN) + "\n" + json.dumps(OWN)[:-20]
    tally = Tally()
    assert len(list(reading.read(io.BytesIO(text.encode()), "log", tally))) == 1
    assert (tally.bad, tally.truncated) == (1, ["log"])


def test_a_last_line_without_an_end_is_a_line() -> None:
    tally = Tally()
    assert len(list(reading.read(io.BytesIO(json.dumps(OWN).encode()), "log", tally))) == 1
    assert not tally.truncated


def test_a_line_that_is_too_long_is_passed_over() -> None:
    long = json.dumps({**OWN, "path": "/" + "a" * (3 * MAX_LINE)})
    flows, tally = read(OWN, long, OWN)
    assert len(flows) == 2
    assert tally.complaints == [("log:2", "is longer than 1 MiB")]


def test_kinds_of_what_is_left_aside_are_few() -> None:
    _, tally = read(*(hubble(verdict=f"V{number}") for number in range(100)))
    assert sum(tally.aside.values()) == 100
    assert len(tally.aside) <= 33


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_whatever_a_line_holds_it_is_a_flow_or_counted(data: st.DataObject) -> None:
    line = dict(data.draw(st.sampled_from((OWN, INBOUND, OUTBOUND, HUBBLE["flow"]))))
    nested = line.get("verdict") == "FORWARDED"
    line[data.draw(st.sampled_from((*line, "code", "headers", "l7", "count")))] = data.draw(ANY)
    flows, tally = read({"flow": line} if nested else line)
    assert len(flows) + tally.bad + sum(tally.aside.values()) == tally.lines == 1


@given(st.binary(max_size=200))
def test_whatever_bytes_there_are_they_are_counted(raw: bytes) -> None:
    tally = Tally()
    flows = list(reading.read(io.BytesIO(raw), "log", tally))
    assert len(flows) + tally.bad + sum(tally.aside.values()) == tally.lines


def test_what_proxies_tell_is_found_among_other_lines() -> None:
    text = "\n".join(["garbage", json.dumps(HUBBLE), json.dumps(OWN), json.dumps(INBOUND), '{"direction": 1}'])
    assert list(reading.told_by_proxies(io.BytesIO(text.encode()))) == [one(INBOUND)]
