"""Hosts by name: what is allowed where proxies look at names, and what where nobody does."""

from dataclasses import replace

import pytest
from ringfence.model.errors import CannotTell
from ringfence.model.resources import CidrPeer, HostPeer, Mode, Protocol, Rule
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import explain
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, Host
from ringfence.policy.held import NO_PROXY
from ringfence.translate import network_policy

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, policy

DB, WEB = (replace(making.pod(name), proxied=True) for name in ("db", "web"))
BANK = allow("bank", HostPeer("api.bank.example"), HostPeer("*.cards.example"), ports=(443,))
EVERYWHERE = ("8.8.8.8", "2600::1")
NOWHERE = ("10.0.0.1", "10.244.0.9", "192.168.0.1", "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "::1")


def known(
    *rules: Rule, proxies: bool = True, pods: tuple[Workload, ...] = (DB, WEB), mode: Mode = Mode.ENFORCE
) -> World:
    installation = replace(making.INSTALLATION, proxies=proxies)
    return making.world(policy(egress=rules, mode=mode), pods=pods, installation=installation)


def half(world: World, target: str | Workload, port: int = 443, protocol: Protocol = Protocol.TCP) -> Half:
    end = target if isinstance(target, Workload) else Address(target) if target[0] in ":1268f" else Host(target)
    return decide(world, making.effective(world), WEB, end, protocol, port).egress


def blocks(world: World) -> list[dict[str, object]]:
    """The blocks of addresses that NetworkPolicies open to calls that go out."""
    objects = network_policy.objects(making.effective(world)("shop"), world.installation)
    entries = (entry for each in objects for entry in each["spec"].get("egress", ()))
    return [peer["ipBlock"] for entry in entries for peer in entry["to"] if "ipBlock" in peer]


def test_the_name_decides() -> None:
    world = known(BANK)
    for name in ("api.bank.example", "a.cards.example"):
        assert half(world, name).reason is Reason.ALLOWED_BY_RULE, name
        assert not half(world, name, 80).allowed
        assert not half(world, name, protocol=Protocol.UDP).allowed
    for name in ("bank.example", "x.api.bank.example", "cards.example", "a.b.cards.example"):
        assert half(world, name).reason is Reason.NO_RULE_ALLOWS, name


def test_an_address_is_open_as_far_as_a_host_of_such_a_name_is_there() -> None:
    world = known(BANK)
    for ip in EVERYWHERE:
        assert (half(world, ip).reason, half(world, ip).allowed) == (Reason.ALLOWED_FOR_HOSTS, True), ip
        assert not half(world, ip, 80).allowed
    for ip in NOWHERE:
        assert not half(world, ip).allowed, ip
    assert not half(world, DB).allowed
    opened = known(BANK, allow("net", CidrPeer("8.8.8.0/24"), ports=(443,)))
    assert half(opened, "8.8.8.8").reason is Reason.ALLOWED_BY_RULE


def test_the_network_opens_the_ports_to_the_outside_alone() -> None:
    found = blocks(known(BANK))
    assert {each["cidr"] for each in found} == {"0.0.0.0/0", "2000::/3"}
    cut = {part for each in found for part in each["except"]}  # type: ignore[attr-defined]
    assert {"10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= cut


@pytest.mark.parametrize("without", ["proxies", "a proxy"])
def test_where_nobody_looks_at_names_nothing_is_opened(without: str) -> None:
    pods = (DB, replace(WEB, proxied=False)) if without == "a proxy" else (DB, WEB)
    world = known(BANK, proxies=without != "proxies", pods=pods)
    found = half(world, "api.bank.example")
    assert (found.allowed, found.reason) == (False, Reason.RULE_SUSPENDED)
    assert not half(world, "8.8.8.8").allowed
    assert blocks(world) == []
    (finding,) = making.findings(world, "HostsNotJudged")
    assert "opens no host" in finding.message
    (rule,) = (rule for rule in making.effective(world)("shop").rules if rule.ref.rule == "bank")
    assert rule.suspended_by == NO_PROXY
    judged = explain.Judged(world, making.effective(world), WEB, Host("api.bank.example"), Protocol.TCP, 443)
    (hint,) = judged.hints(found)
    assert "names of hosts, which no proxy judges here" in hint


def test_other_ends_of_such_a_rule_stay_open() -> None:
    world = known(allow("both", HostPeer("api.bank.example"), caller("db"), ports=(443,)), proxies=False)
    assert half(world, DB).allowed
    assert not half(world, "api.bank.example").allowed
    assert not half(world, "8.8.8.8").allowed
    assert len(making.findings(world, "HostsNotJudged")) == 1


def test_denied_addresses_are_cut_out_and_a_name_may_lead_there() -> None:
    world = known(BANK, deny("not-there", CidrPeer("8.8.8.0/24"), ports=(443,)))
    assert half(world, "8.8.8.8").reason is Reason.DENIED_BY_RULE
    assert half(world, "8.8.9.8").allowed
    with pytest.raises(CannotTell, match=r"addresses of api\.bank\.example, which are not known"):
        half(world, "api.bank.example")
    assert not half(world, "other.example").allowed
    inside = known(BANK, deny("never-inside", CidrPeer("10.0.0.0/8")))
    assert half(inside, "api.bank.example").allowed
    nowhere = known(BANK, deny("nowhere", CidrPeer("0.0.0.0/0"), CidrPeer("::/0")))
    assert half(nowhere, "api.bank.example").reason is Reason.DENIED_BY_RULE


def test_a_network_that_is_open_is_so_for_every_name() -> None:
    world = known(allow("all", CidrPeer("0.0.0.0/0"), CidrPeer("::/0"), ports=(443,)))
    assert half(world, "any.example").reason is Reason.ALLOWED_BY_RULE
    with pytest.raises(CannotTell):
        half(known(allow("some", CidrPeer("8.0.0.0/8"), ports=(443,))), "any.example")


def test_audit_opens_nothing() -> None:
    world = known(BANK, mode=Mode.AUDIT)
    found = half(world, "api.bank.example")
    assert (found.allowed, found.audit) == (False, True)
    assert blocks(world) == []


def test_a_name_beside_its_wildcard_is_told() -> None:
    world = known(BANK, allow("twice", HostPeer("a.cards.example"), HostPeer("a.b.cards.example"), ports=(443,)))
    (finding,) = making.findings(world, "HostShadowed")
    assert "names a.cards.example, which *.cards.example of" in finding.message
    apart = known(BANK, allow("twice", HostPeer("a.cards.example"), ports=(80,)))
    assert making.findings(apart, "HostShadowed") == []
