"""What records say of hosts outside, of queries and of tokens."""

import json
from typing import Any

import pytest
from ringfence.flows import own
from ringfence.flows.flow import Party
from ringfence.model.requests import Request
from ringfence.model.tokens import claim_at

from tests.unit.flows.test_reading import HUBBLE, OUTBOUND, OWN, one, refused


def test_own_host_outside() -> None:
    assert one({**OWN, "target": "host:API.bank.example", "port": 443}).target == Party(host="api.bank.example")
    assert one({**OWN, "target": "ip:1.2.3.4", "host": "api.bank.example:443"}).target == Party(
        ip="1.2.3.4", host="api.bank.example"
    )
    for wrong in ("host:1.2.3.4", "host:", "host:api.bank.example:443", "host:a_b.example", "host:web"):
        assert "write host:NAME, the port in port" in refused({**OWN, "target": wrong})
    assert "is no end of a call" in refused({**OWN, "source": "host:api.bank.example"})


def test_own_tokens_are_claims_with_their_texts() -> None:
    tokens = {"corp": {"scope": "read write", "level": 3, "nested": {"a": 1}}, "bad": None}
    found = one({**OWN, "headers": {}, "tokens": tokens})
    claims = (("level", ("3",)), (claim_at(("nested", "a")), ("1",)), ("scope", ("read", "write")))
    assert found.tokens == (("bad", None), ("corp", claims))
    assert found.request == Request()
    assert one(OWN).tokens is None
    assert "tokens" in refused({**OWN, "tokens": {"corp": "secret"}})


def test_own_path_has_its_query() -> None:
    assert one({**OWN, "path": "/a?x=1"}).query
    assert not one({**OWN, "method": "GET"}).query


def test_outbound_by_name() -> None:
    """What went through the proxy's own socket knows no address of its own."""
    line = {key: OUTBOUND[key] for key in ("direction", "time")} | {
        "identity": "spiffe://cluster.local/ns/shop/sa/web",
        "host": "API.bank.example:443",
        "code": 200,
        "upstream": "1.2.3.4:443",
    }
    found = one(line)
    assert found.source == Party("shop", "web", domain="cluster.local")
    assert (found.target, found.port) == (Party(ip="1.2.3.4", host="api.bank.example"), 443)
    assert (found.denied, found.request) == (False, None)
    refused_ = one({key: value for key, value in line.items() if key != "upstream"} | {"code": 403})
    assert (refused_.target, refused_.port, refused_.denied) == (Party(host="api.bank.example"), 443, True)
    assert one({**line, "identity": ""}).source == Party(local=True)
    assert one({**line, "identity": ""}, Party("shop", "web")).source == Party("shop", "web", named=True)
    assert "host is no name with a port" in refused({"direction": "outbound", "host": "api.bank.example"})


def test_outbound_in_tls_of_the_programs_own() -> None:
    line = {key: value for key, value in OUTBOUND.items() if key != "upstreamPeer"}
    assert one({**line, "sni": "api.bank.example"}).target == Party(ip="10.244.0.1", host="api.bank.example")
    assert one({**line, "sni": "10.244.0.1"}).target == Party(ip="10.244.0.1")
    assert one({**OUTBOUND, "sni": "api.bank.example"}).target.host == ""


def hubble(names: list[str] | None = None, url: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(HUBBLE))
    flow = found["flow"]
    flow["destination"] = {"labels": ["reserved:world"]}
    flow["IP"]["destination"] = "1.2.3.4"
    flow |= {} if names is None else {"destination_names": names}
    flow |= {"l7": {"type": "REQUEST", "http": {"method": "GET", "url": url}}} if url else {}
    return found


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (hubble(["api.bank.example"]), "api.bank.example"),
        (hubble(["API.bank.example."]), "api.bank.example"),
        # Two names: nobody knows which of them it was.
        (hubble(["api.bank.example", "b.example"]), ""),
        (hubble(), ""),
        (hubble(url="http://api.bank.example:443/a"), "api.bank.example"),
        (hubble(url="http://1.2.3.4/a"), ""),
    ],
)
def test_hubbles_names_of_hosts(line: dict[str, Any], host: str) -> None:
    assert one(line).target == Party(ip="1.2.3.4", host=host)


def test_hubbles_queries_are_there_where_one_is_seen() -> None:
    assert one(hubble(url="http://a.example/a?x=1")).query
    assert not one(hubble(url="http://a.example/a")).query


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.com:8443", "api.example.com"),
        ("api.example.com.", ""),
        ("web", ""),
        ("10.0.0.1", ""),
        ("[2001:db8::1]:443", ""),
        ("2001:db8::1", ""),
        ("a_b.example.com", ""),
        ("user@example.com", ""),
        ("", ""),
    ],
)
def test_a_name_of_a_host_is_one_that_rules_can_name(authority: str, name: str) -> None:
    assert own.host_name(authority) == name
