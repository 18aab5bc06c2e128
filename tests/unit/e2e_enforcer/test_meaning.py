"""Single sentences of the API; that all of them hold together is test_meaning_against_judge's business."""

from ipaddress import ip_address
from typing import Any

import pytest

from e2e.enforcer import meaning
from e2e.enforcer.meaning import Table
from e2e.enforcer.model import NamedPort, Pod, Protocol, World

TCP, UDP = Protocol.TCP, Protocol.UDP
WEB_IS_80, WEB_IS_81 = (NamedPort("web", 80, TCP),), (NamedPort("web", 81, TCP),)
FIRST = Pod("x", "first", {"app": "first"}, (ip_address("10.0.0.1"), ip_address("fd00::1")), WEB_IS_80)
SECOND = Pod("x", "second", {"app": "second"}, (ip_address("10.0.0.2"),), WEB_IS_81)
OUTSIDE = ip_address("192.0.2.1")


def tables(direction: str, **spec: Any) -> list[Table | None]:
    """The tables of FIRST and SECOND under one policy for both."""
    policy = {"metadata": {"namespace": "x", "name": "p"}, "spec": {"podSelector": {}, **spec}}
    isolated = meaning.isolation(World((FIRST, SECOND), {"x": {}, "y": {"zone": "a"}}, (policy,)))
    return [getattr(each, direction) for _, each in isolated]


def test_without_a_policy_a_pod_is_open() -> None:
    (_, isolated), _ = meaning.isolation(World((FIRST, SECOND), {"x": {}}, ()))
    assert (isolated.ingress, isolated.egress) == (None, None)


def test_a_policy_of_another_namespace_is_none_of_its_business() -> None:
    policy = {"metadata": {"namespace": "y", "name": "p"}, "spec": {"podSelector": {}}}
    (_, isolated), _ = meaning.isolation(World((FIRST, SECOND), {"x": {}}, (policy,)))
    assert isolated.ingress is None


@pytest.mark.parametrize(
    ("spec", "types"),
    [
        ({}, ("Ingress",)),
        ({"egress": []}, ("Ingress",)),
        ({"egress": [{}]}, ("Ingress", "Egress")),
        ({"policyTypes": ["Egress"]}, ("Egress",)),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, ("Egress",)),
    ],
)
def test_directions_left_out_are_ingress_and_egress_if_it_has_rules(spec: dict[str, Any], types: tuple[str]) -> None:
    assert meaning.policy_types({"spec": spec}) == types


def test_a_name_means_another_number_on_each_pod_that_is_called() -> None:
    first, second = tables("ingress", ingress=[{"ports": [{"port": "web"}]}])
    assert first is not None
    assert second is not None
    assert [first.allows(OUTSIDE, TCP, port) for port in (80, 81)] == [True, False]
    assert [second.allows(OUTSIDE, TCP, port) for port in (80, 81)] == [False, True]


def test_a_name_in_egress_is_looked_up_on_the_pod_that_is_called() -> None:
    first, _ = tables("egress", policyTypes=["Egress"], egress=[{"ports": [{"port": "web"}, {"port": 9}]}])
    assert first is not None
    second = SECOND.addresses[0]
    assert [first.allows(second, TCP, port) for port in (9, 80, 81)] == [True, False, True]
    assert [first.allows(OUTSIDE, TCP, port) for port in (9, 80, 81)] == [True, False, False]


def test_a_name_is_a_name_of_one_protocol() -> None:
    first, _ = tables("ingress", ingress=[{"ports": [{"port": "web", "protocol": "UDP"}]}])
    assert first is not None
    assert not first.allows(OUTSIDE, UDP, 80)


def test_no_ports_means_every_protocol_and_a_protocol_alone_every_port_of_it() -> None:
    first, _ = tables("ingress", ingress=[{"from": [{"podSelector": {}}]}, {"ports": [{"protocol": "UDP"}]}])
    assert first is not None
    assert first.allows(SECOND.addresses[0], TCP, 1)
    assert [first.allows(OUTSIDE, protocol, 65535) for protocol in (TCP, UDP)] == [False, True]


def test_an_empty_list_of_peers_means_everybody_in_both_families() -> None:
    first, _ = tables("ingress", ingress=[{"from": []}])
    assert first is not None
    assert first.allows(OUTSIDE, TCP, 1)
    assert first.allows(ip_address("2001:db8::1"), TCP, 1)


def test_both_addresses_of_a_pod_are_the_pod() -> None:
    _, second = tables("ingress", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "first"}}}]}])
    assert second is not None
    assert [second.allows(each, TCP, 1) for each in FIRST.addresses] == [True, True]


@pytest.mark.parametrize(
    "rule",
    [{"from": [{}]}, {"ports": [{"port": 80, "endPort": 79}]}, {"ports": [{"port": "nobody"}]}],
    ids=["a peer that names nothing", "a range that ends before it starts", "a name that no port has"],
)
def test_a_rule_that_says_nothing_opens_nothing(rule: dict[str, Any]) -> None:
    assert tables("ingress", ingress=[rule]) == [Table((), ()), Table((), ())]
