"""Hosts by name in the configuration: which chains there are, and when they become others."""

from dataclasses import replace
from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2
from ringfence.model import hosts as names_of_hosts
from ringfence.model.mesh import Mesh
from ringfence.model.net import IpSet
from ringfence.model.resources import CidrPeer, HostPeer, Mode, Rule
from ringfence.policy import reach
from ringfence.translate.envoy import hosts, messages, names

from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, deny, policy
from tests.unit.translate.envoy.making import chains, configured, mesh

BANK = allow("bank", HostPeer("api.bank.example"), HostPeer("*.cards.example"), ports=(443, 80))


def known(*rules: Rule, proxies: bool = True, mode: Mode = Mode.ENFORCE, **namespaces: Any) -> Mesh:
    installation = replace(policies.INSTALLATION, proxies=proxies)
    world = policies.world(
        policy(egress=rules, mode=mode), pods=(policies.pod("api", ip="10.244.0.1"),), installation=installation
    )
    return mesh(replace(world, namespaces={**world.namespaces, **namespaces}))


def named(found: Mesh) -> tuple[hosts.Named, ...]:
    return hosts.named(reach.narrowed(found.effective("shop"), reach.Direction.EGRESS, {}), found.world.installation)


def by_name(found: Mesh) -> list[str]:
    return [each for each in chains(configured(found), names.OUTBOUND) if each.startswith(("out|names|", "out|hosts|"))]


def test_each_port_has_a_way_for_tls_and_one_for_http() -> None:
    config = configured(known(BANK))
    found = {"|".join(each.split("|")[:3]) for each in by_name(known(BANK))}
    assert found == {"out|names|443", "out|names|80", "out|hosts|443", "out|hosts|80"}
    assert [each.name for each in config.listeners] == ["inbound", "names", "outbound", "status"]
    assert {"hosts", "names"} <= {each.name for each in config.clusters}
    assert {"names", "out|hosts|80", "out|hosts|443"} <= {each.name for each in config.routes}


@pytest.mark.parametrize(
    "without",
    [
        known(),
        known(BANK, proxies=False),
        known(BANK, mode=Mode.AUDIT),
        known(BANK, shop=policies.Namespace.of("shop", {"ringfence.dev/enroll": "audit"})),
    ],
    ids=["no such rule", "nobody looks", "in mode Audit", "not closed"],
)
def test_nothing_of_it_is_there_where_nothing_is_open_by_name(without: Mesh) -> None:
    config = configured(without)
    assert by_name(without) == []
    assert names.TO_NAMES not in {each.name for each in (*config.listeners, *config.clusters, *config.routes)}
    (outbound,) = (each for each in config.listeners if each.name == names.OUTBOUND)
    filters = messages.unpacked(outbound, listener_pb2.Listener).listener_filters
    # While nothing is blocked names are written down where only TLS comes, so that rules can be made of them.
    looks = outbound_is_open(without)
    assert [each.name.rpartition(".")[2] for each in filters] == ["original_dst", *(["tls_inspector"] if looks else [])]
    for port in filters[-1:] if looks else ():
        spared = port.filter_disabled.not_match.destination_port_range
        assert (spared.start, spared.end) == (443, 444)


def outbound_is_open(mesh: Mesh) -> bool:
    return not mesh.effective("shop").closed


def test_connections_end_on_a_port_whose_names_or_addresses_change_and_on_no_other() -> None:
    before = set(by_name(known(BANK, allow("more", HostPeer("a.example"), ports=(8443,)))))
    after = set(by_name(known(BANK, allow("more", HostPeer("b.example"), ports=(8443,)))))
    assert {each.split("|")[2] for each in before ^ after} == {"8443"}
    denied = deny("not-there", CidrPeer("8.8.8.0/24"), ports=(443,))
    tight = set(by_name(known(BANK, allow("more", HostPeer("a.example"), ports=(8443,)), denied)))
    assert {each.split("|")[2] for each in before ^ tight} == {"443"}


def test_names_lead_to_what_is_outside_and_not_denied() -> None:
    everywhere = names_of_hosts.outside((), ("10.244.0.0/16", "192.168.0.1/32"))
    on_443, on_80 = (
        next(each for each in named(known(BANK, deny("no", CidrPeer("8.8.8.0/24"), ports=(443,)))) if each.port == port)
        for port in (443, 80)
    )
    assert on_80.addresses == everywhere
    assert on_443.addresses == everywhere.minus(IpSet.of("8.8.8.0/24"))
    assert on_443.patterns == (("shop/p#bank", ("*.cards.example", "api.bank.example")),)
    nowhere = named(known(BANK, deny("no", CidrPeer("0.0.0.0/0"), CidrPeer("::/0"))))
    assert [each.addresses.empty for each in nowhere] == [True, True]
