"""What policies in mode Audit would deny on the way out passes a real Envoy, and its log names the rule."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.mesh import ServicePort
from ringfence.model.resources import CidrPeer, Mode, PortSpec, SecurityPolicy

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, deny, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

DB, WEB, HTTP, TCP, OUTSIDE = "10.244.0.1", "10.244.0.2", "10.96.0.1", "10.96.0.2", "192.0.2.7"
SERVICES = {
    "shop": (
        making.service("db", ServicePort("http", 80, 8080)),
        replace(making.service("db", ServicePort("sql", 5432, 5432), ip=TCP), name="db-tcp"),
    )
}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with proxy_net.network(tmp_path_factory.mktemp("net")) as made:
        made.give("pod", [WEB])
        made.give("callers", [DB, HTTP, TCP, OUTSIDE])
        yield made


@pytest.fixture(scope="module")
def svids(net: Net) -> Identities:
    return Identities(net.directory, "cluster.local")


def logged(net: Net, svids: Identities, *audit: SecurityPolicy) -> dict[str, dict[str, Any]]:
    """The line of a call to each place, by the address that was called; every call passes."""
    pods = (policies.pod("db", ip=DB), policies.pod("web", ip=WEB))
    enforced = policy(
        ingress=(allow("web", caller("web")),),
        egress=(allow("db", caller("db")), allow("net", CidrPeer("192.0.2.0/24"))),
    )
    known = making.mesh(policies.world(enforced, *audit, pods=pods), SERVICES)
    places = [(HTTP, 80, True), (TCP, 5432, False), (DB, 9999, False), (OUTSIDE, 443, False)]
    calls = [
        {"source": "", "target": ip, "port": port, "identity": (), "http": http, "first": True, "told": True}
        for ip, port, http in places
    ]
    made = making.configured(known, "web")
    with net.pods({DB: svids.files("shop", "db")}), proxy_net.running(net, made, svids.secrets("shop", "web")) as log:
        assert "denied" not in net.call(calls, "pod")
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {line["destination"].rpartition(":")[0]: line for line in lines if line["direction"] == "outbound"}


def test_a_deny_in_audit_is_named(net: Net, svids: Identities) -> None:
    rules = (deny("no-db", caller("db")), deny("no-net", CidrPeer("192.0.2.7/32")))
    found = logged(net, svids, policy("q", mode=Mode.AUDIT, egress=rules))
    assert {place: (line.get("audit"), line.get("auditRule")) for place, line in found.items()} == {
        HTTP: ("denied", "shop/q#no-db"),
        TCP: ("denied", "shop/q#no-db"),
        DB: ("denied", "shop/q#no-db"),
        OUTSIDE: ("denied", "shop/q#no-net"),
    }


def test_of_two_rules_the_first_is_named_and_what_neither_denies_is_not(net: Net, svids: Identities) -> None:
    first = deny("a-sql", caller("db"), ports=(PortSpec(5432),))
    found = logged(
        net, svids, policy("q", mode=Mode.AUDIT, egress=(first, deny("b-http", caller("db"), ports=(PortSpec(8080),))))
    )
    assert {place: line.get("auditRule") for place, line in found.items()} == {
        HTTP: "shop/q#b-http",
        TCP: "shop/q#a-sql",
        DB: None,
        OUTSIDE: None,
    }


def test_without_audit_nothing_is_said(net: Net, svids: Identities) -> None:
    assert all("audit" not in line for line in logged(net, svids).values())
