"""Records of Hubble, and what among records is no call."""

import pytest
from ringfence.flows.flow import Party, View
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol

from tests.unit.flows.records import AT, HUBBLE, INBOUND, hubble, one, read, refused


def test_hubble_connection() -> None:
    found = one(HUBBLE)
    assert found.source == Party("shop", "web", "web-7d9c5f6b8-x2x4v", "10.244.0.2")
    assert found.target == Party("shop", pod="api-0", ip="10.244.0.1")
    assert (found.protocol, found.port, found.view, found.denied) == (Protocol.TCP, 8080, View.TARGET, False)
    assert found.first == pytest.approx(AT + 0.123456)


def test_hubble_request() -> None:
    http = {
        "method": "GET",
        "url": "http://api.shop:8080/a/b?c=d",
        "protocol": "HTTP/1.1",
        "headers": [{"key": ":authority", "value": "api.shop"}, {"key": "X-Env", "value": "prod"}],
    }
    found = one(hubble(Type="L7", l7={"type": "REQUEST", "latency_ns": "0", "http": http}))
    assert found.request == Request("GET", "/a/b?c=d", "api.shop:8080", {"x-env": ("prod",)})
    assert found.headers


def test_hubble_udp_from_outside() -> None:
    found = one(hubble(l4={"UDP": {"destination_port": 53}}, source={"identity": 2, "labels": ["reserved:world"]}))
    assert (found.protocol, found.port, found.source) == (Protocol.UDP, 53, Party(ip="10.244.0.2"))


def test_hubble_dropped() -> None:
    assert one(hubble(verdict="DROPPED", drop_reason_desc="POLICY_DENIED", is_reply=None)).denied


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (hubble(is_reply=True), "replies"),
        (hubble(l7={"type": "RESPONSE", "http": {"code": 200}}), "replies"),
        (hubble(verdict="TRANSLATED"), "events with the verdict TRANSLATED"),
        (hubble(l4={"ICMPv4": {"type": 8}}), "packets of ICMPv4"),
        (hubble(l4={}), "packets of no protocol"),
        ({"node_status": {"state_change": "NODE_CONNECTED"}, "node_name": "n"}, "events of Hubble that are no flows"),
        ({"lost_events": {"source": "HUBBLE_RING_BUFFER"}}, "events of Hubble that are no flows"),
        ({**INBOUND, "direction": "status"}, "lines of the proxy's 'status'"),
        ("[2027-01-15 08:00:00.123][1][info][main] starting", "the proxy's own messages"),
    ],
)
def test_what_is_no_call_is_left_aside(line: object, what: str) -> None:
    flows, tally = read(line)
    assert not flows
    assert (tally.bad, dict(tally.aside)) == (0, {what: 1})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (hubble(l4={"TCP": {}}), "flow.l4.TCP.destination_port 0 is no port"),
        (hubble(l4={"TCP": {"destination_port": "x"}}), "flow.l4.TCP: Expected `int`"),
        (hubble(source={}, IP={}), "flow.source names neither a pod nor an address"),
        (hubble(IP={"source": "x"}), "flow.IP.source 'x' is no address"),
        (hubble(verdict=3), "flow.verdict: expected `str`, got `int`"),
        ({"flow": None}, "flow: expected `object`, got `null`"),
    ],
)
def test_mistakes_of_hubble(line: object, message: str) -> None:
    assert message in refused(line)
