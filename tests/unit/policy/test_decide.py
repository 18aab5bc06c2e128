"""May this call be made? One sentence of the semantics after the other."""

from dataclasses import replace

import pytest
from ringfence.model import labels
from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    AppliesTo,
    CidrPeer,
    Mode,
    NamespacePeer,
    Peer,
    Protocol,
    SpiffePeer,
    ZonePeer,
)
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.model.world import ContainerPort, Installation, Namespace, OpenService, Workload, World
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, End

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, pod, policy

WEB, API, DB = pod("web", ip="10.244.0.1"), pod("api", ip="10.244.0.2"), pod("db", ip="10.244.0.3")
TELLER = pod("web", "bank", ip="10.244.1.1")
MOUSE = Workload("lab", "mouse", "web", {}, ("10.244.2.1",))
BARE = Workload("shop", "bare", "web", {}, ("10.244.0.9",))
ON_NODE = Workload("shop", "agent", "web", {"ringfence.dev/identity": "web"}, ("192.168.0.7",), host_network=True)
OUTSIDE = Address("203.0.113.9")
PODS = (WEB, API, DB, TELLER, MOUSE, ON_NODE, BARE)


def ask(known: World, source: End, target: End, port: int | str = 80, protocol: Protocol = Protocol.TCP) -> Verdict:
    return decide(known, making.effective(known), source, target, protocol, port)


def ingress(known: World, source: End, target: End = DB, port: int | str = 80) -> Half:
    return ask(known, source, target, port).ingress


def egress(known: World, source: End, target: End, port: int = 80) -> Half:
    return ask(known, source, target, port).egress


def test_a_closed_namespace_denies_what_no_rule_allows() -> None:
    half = ingress(making.world(), WEB)
    assert (half.allowed, half.reason, half.rule) == (False, Reason.NO_RULE_ALLOWS, None)


def test_a_namespace_that_is_not_enrolled_is_open() -> None:
    known = making.world(policy(namespace="lab", ingress=(deny("no", NamespacePeer("shop")),)))
    assert ingress(known, WEB, MOUSE).reason is Reason.NOT_ENROLLED


def test_a_namespace_that_nobody_knows_is_open() -> None:
    stranger = Workload("nowhere", "x", "x")
    assert ingress(making.world(), WEB, stranger).reason is Reason.NOT_ENROLLED


def test_an_allow_names_the_rule() -> None:
    half = ingress(making.world(policy(ingress=(allow("web", caller("web")),))), WEB)
    assert half.allowed
    assert half.reason is Reason.ALLOWED_BY_RULE
    assert str(half.rule) == "SecurityPolicy shop/p rule web"


def test_an_allow_is_for_its_ports_and_protocol_only() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web"), ports=(80,)),)))
    assert ingress(known, WEB, DB, 80).allowed
    assert not ingress(known, WEB, DB, 81).allowed
    assert not ask(known, WEB, DB, 80, Protocol.UDP).ingress.allowed


def test_deny_wins_over_allow_wherever_it_stands() -> None:
    known = making.world(
        policy("a", ingress=(allow("web", caller("web")),)), policy("b", ingress=(deny("no", caller("web")),))
    )
    half = ingress(known, WEB)
    assert (half.allowed, half.reason) == (False, Reason.DENIED_BY_RULE)
    assert str(half.rule) == "SecurityPolicy shop/b rule no"


def test_an_identity_of_the_same_name_elsewhere_is_another() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")),)))
    assert not ingress(known, TELLER).allowed


def test_an_identity_in_a_namespace_that_is_not_enrolled_is_nobody() -> None:
    forged = Workload("lab", "forged", "web", {"ringfence.dev/identity": "web"})
    known = making.world(policy(ingress=(allow("web", caller("web", "lab")), allow("any"))))
    assert not ingress(known, forged).allowed


def test_rules_without_peers_mean_any_identity() -> None:
    known = making.world(policy(ingress=(allow("any"),)))
    assert ingress(known, WEB).allowed
    assert ingress(known, TELLER).allowed
    assert not any(ingress(known, source).allowed for source in (MOUSE, BARE, ON_NODE, OUTSIDE))


def test_anonymous_opens_to_everyone() -> None:
    known = making.world(policy(ingress=(allow("all", AnonymousPeer()),)))
    assert all(ingress(known, source).allowed for source in (WEB, MOUSE, BARE, ON_NODE, OUTSIDE))


def test_a_deny_of_anonymous_is_for_those_without_identity() -> None:
    known = making.world(policy(ingress=(allow("all", AnonymousPeer()), deny("no", AnonymousPeer()))))
    assert ingress(known, WEB).allowed
    assert not any(ingress(known, source).allowed for source in (MOUSE, BARE, ON_NODE, OUTSIDE))


def test_zone_means_the_identities_of_the_zone() -> None:
    known = making.world(policy(ingress=(allow("zone", ZonePeer("a")),)))
    assert ingress(known, WEB).allowed
    assert not any(ingress(known, source).allowed for source in (TELLER, BARE))


def test_namespace_means_its_pods_enrolled_or_not() -> None:
    known = making.world(policy(ingress=(allow("lab", NamespacePeer("lab")), allow("shop", NamespacePeer("shop")))))
    assert all(ingress(known, source).allowed for source in (MOUSE, BARE))
    assert not ingress(known, ON_NODE).allowed


def test_a_spiffe_id_is_the_identity_that_it_names() -> None:
    known = making.world(policy(ingress=(allow("id", SpiffePeer("spiffe://cluster.local/ns/shop/sa/web")),)))
    assert ingress(known, WEB).allowed
    assert not ingress(known, API).allowed


def test_cidr_leaves_pods_out() -> None:
    known = making.world(policy(ingress=(allow("net", CidrPeer("0.0.0.0/0")),)), pods=PODS)
    assert ingress(known, OUTSIDE).allowed
    assert ingress(known, ON_NODE).allowed
    assert not ingress(known, WEB).allowed
    assert not ingress(known, Address("10.244.0.1")).allowed


def test_cidr_covers_pods_where_the_installation_says_so() -> None:
    covering = Installation(pod_cidrs=("10.244.0.0/16",), cidr_covers_pods=True, open_services=())
    known = making.world(policy(ingress=(allow("net", CidrPeer("10.244.0.0/24")),)), installation=covering)
    assert ingress(known, WEB).allowed
    assert not ingress(known, TELLER).allowed


def test_an_address_that_is_a_pods_is_the_pod() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")),)), pods=PODS)
    assert ingress(known, Address("10.244.0.1")).allowed
    assert ask(known, WEB, Address("10.244.0.3")).ingress.allowed


def test_the_api_server_is_its_addresses() -> None:
    known = making.world(policy(ingress=(allow("api", ApiServerPeer()),)))
    assert ingress(known, Address("192.168.0.1")).allowed
    assert not ingress(known, Address("192.168.0.2")).allowed


def test_named_ports_are_the_targets() -> None:
    target = Workload(
        "shop", "db", "db", DB.labels, ports=(ContainerPort("sql", 5432), ContainerPort("sql", 9, Protocol.UDP))
    )
    known = making.world(policy(ingress=(allow("web", caller("web"), ports=("sql",)),)))
    assert ingress(known, WEB, target, 5432).allowed
    assert ingress(known, WEB, target, "sql").allowed
    assert not ingress(known, WEB, target, 80).allowed
    assert not ask(known, WEB, target, 9, Protocol.UDP).ingress.allowed


def test_the_name_of_a_port_that_the_target_has_not_cannot_be_answered() -> None:
    with pytest.raises(CannotTell, match="no TCP port named 'sql'"):
        ask(making.world(), WEB, DB, "sql")


def test_a_policy_governs_the_pods_that_it_selects() -> None:
    known = making.world(policy(applies_to=AppliesTo(identities=("api",)), ingress=(allow("web", caller("web")),)))
    assert ingress(known, WEB, API).allowed
    assert not ingress(known, WEB, DB).allowed


def test_a_policy_selects_by_labels_too() -> None:
    box = LabelBox.of({"tier": labels.one_of("back")})
    known = making.world(policy(applies_to=AppliesTo(pod_selector=box), ingress=(allow("web", caller("web")),)))
    assert ingress(known, WEB, pod("db", tier="back")).allowed
    assert not ingress(known, WEB, pod("db", tier="front")).allowed


def test_without_listed_egress_calls_inside_are_up_to_the_target() -> None:
    known = making.world()
    assert egress(known, WEB, DB).reason is Reason.ALLOWED_INSIDE
    assert egress(known, WEB, MOUSE).allowed
    assert not egress(known, WEB, OUTSIDE).allowed
    assert not egress(known, WEB, ON_NODE).allowed


def test_with_listed_egress_an_allow_is_needed() -> None:
    known = making.world(policy(egress=(allow("db", caller("db")),)))
    assert egress(known, WEB, DB).reason is Reason.ALLOWED_BY_RULE
    assert egress(known, WEB, API).reason is Reason.NO_RULE_ALLOWS


def test_a_policy_that_merely_denies_egress_lists_it_a_floor_does_not() -> None:
    no = (deny("no", caller("db")),)
    assert not egress(making.world(policy(egress=no)), WEB, API).allowed
    floored = making.world(floors=(floor(egress=no),))
    assert egress(floored, WEB, API).allowed
    assert egress(floored, WEB, DB).reason is Reason.DENIED_BY_RULE
    listing = making.world(floors=(floor(egress=(*no, allow("db", caller("api", "bank")))),))
    assert not egress(listing, WEB, API).allowed


def test_an_empty_egress_section_closes_egress() -> None:
    assert not egress(making.world(policy(egress=())), WEB, API).allowed


def test_both_ends_must_allow() -> None:
    known = making.world(
        policy("a", applies_to=AppliesTo(identities=("db",)), ingress=(allow("web", caller("web")),)),
        policy("b", applies_to=AppliesTo(identities=("web",)), egress=(allow("api", caller("api")),)),
    )
    verdict = ask(known, WEB, DB)
    assert (verdict.ingress.allowed, verdict.egress.allowed, verdict.allowed) == (True, False, False)
    assert verdict.deciding.direction is Direction.EGRESS


def test_a_floor_holds_whatever_the_namespace_says() -> None:
    known = making.world(policy(ingress=(allow("web", caller("web")),)), floors=(floor(ingress=(deny("no"),)),))
    half = ingress(known, WEB)
    assert (half.reason, str(half.rule)) == (Reason.DENIED_BY_RULE, "ClusterSecurityPolicy floor rule no")


def test_a_floor_reaches_only_the_namespaces_that_it_selects() -> None:
    selector = LabelBox.of({"ringfence.dev/zone": labels.one_of("b")})
    known = making.world(
        policy(ingress=(allow("web", caller("web")),)), floors=(floor(selector=selector, ingress=(deny("no"),)),)
    )
    assert ingress(known, WEB).allowed


def test_open_services_stay_open() -> None:
    dns = OpenService("dns", "lab", {"app": "dns"}, ((Protocol.UDP, 53),), ("192.0.2.53/32",))
    installation = Installation(pod_cidrs=("10.244.0.0/16",), open_services=(dns,))
    known = making.world(
        policy(egress=(deny("no", NamespacePeer("lab"), CidrPeer("0.0.0.0/0")),)), installation=installation
    )
    server = Workload("lab", "dns", "dns", {"app": "dns"})
    assert ask(known, WEB, server, 53, Protocol.UDP).egress.reason is Reason.ALLOWED_BUILTIN
    assert ask(known, WEB, Address("192.0.2.53"), 53, Protocol.UDP).egress.allowed
    assert not ask(known, WEB, server, 53, Protocol.TCP).egress.allowed


def test_an_open_address_is_open_and_no_pod_is_by_it() -> None:
    outside = OpenService("collector", "", {}, ((Protocol.TCP, 4317),), ("192.0.2.7/32",))
    known = making.world(policy(egress=()), installation=Installation(open_services=(outside,)))
    assert ask(known, WEB, Address("192.0.2.7"), 4317, Protocol.TCP).egress.reason is Reason.ALLOWED_BUILTIN
    assert not ask(known, WEB, Address("192.0.2.8"), 4317, Protocol.TCP).egress.allowed
    assert not ask(known, WEB, Address("192.0.2.7"), 4318, Protocol.TCP).egress.allowed
    assert not any(ask(known, WEB, each, 4317, Protocol.TCP).egress.allowed for each in (DB, MOUSE))


def test_an_open_service_in_a_closed_namespace_serves_everyone() -> None:
    hub = OpenService("hub", "shop", {"ringfence.dev/identity": "db"}, ((Protocol.TCP, 80),))
    installation = Installation(open_services=(hub,))
    known = making.world(floors=(floor(ingress=(deny("no", NamespacePeer("lab")),)),), installation=installation)
    assert ingress(known, MOUSE).reason is Reason.ALLOWED_BUILTIN


def test_pods_on_their_node_and_addresses_are_governed_by_nothing() -> None:
    known = making.world(policy(ingress=(deny("no"),), egress=()))
    assert ingress(known, WEB, ON_NODE).reason is Reason.NOT_GOVERNED
    assert egress(known, ON_NODE, MOUSE).reason is Reason.NOT_GOVERNED
    assert ask(known, OUTSIDE, Address("203.0.113.10")).allowed


def test_a_suspended_allow_allows_nothing_and_says_so() -> None:
    known = making.world(
        policy(ingress=(allow("named", caller("web"), ports=("http",)), deny("no", caller("web"), ports=(9,))))
    )
    target = Workload("shop", "db", "db", DB.labels, ports=(ContainerPort("http", 80),))
    half = ingress(known, WEB, target)
    assert (half.allowed, half.reason) == (False, Reason.RULE_SUSPENDED)
    assert str(half.rule) == "SecurityPolicy shop/p rule named"


def test_policies_in_mode_audit_are_reported_not_enforced() -> None:
    known = making.world(
        policy("a", ingress=(allow("web", caller("web")),)),
        policy("b", ingress=(deny("no", caller("web")), allow("api", caller("api"))), mode=Mode.AUDIT),
    )
    denied, allowed = ingress(known, WEB), ingress(known, API)
    assert (denied.allowed, denied.audit, str(denied.audit_rule)) == (True, False, "SecurityPolicy shop/b rule no")
    assert (allowed.allowed, allowed.audit, str(allowed.audit_rule)) == (False, True, "SecurityPolicy shop/b rule api")
    assert ingress(known, MOUSE).audit is None


def test_an_egress_list_in_mode_audit_would_deny() -> None:
    known = making.world(policy(egress=(), mode=Mode.AUDIT))
    half = egress(known, WEB, DB)
    assert (half.allowed, half.audit, half.audit_rule) == (True, False, None)


def test_an_allow_that_audit_would_suspend_is_reported() -> None:
    known = making.world(
        policy("a", ingress=(allow("named", caller("web"), ports=("http",)),)),
        policy("b", ingress=(deny("no", caller("web"), ports=(9,)),), mode=Mode.AUDIT),
    )
    target = Workload("shop", "db", "db", DB.labels, ports=(ContainerPort("http", 80),))
    half = ingress(known, WEB, target)
    assert (half.allowed, half.audit) == (True, False)


def test_an_audited_namespace_blocks_nothing_and_says_what_it_would() -> None:
    audited = Namespace.of("audited", {LABEL_ENROLL: "audit"})
    known = making.world(policy(namespace="audited", ingress=(allow("web", caller("web")),)), namespaces=(audited,))
    target = pod("x", "audited")
    assert (ingress(known, WEB, target).reason, ingress(known, WEB, target).audit) == (Reason.NOT_CLOSED, None)
    assert (ingress(known, API, target).allowed, ingress(known, API, target).audit) == (True, False)


def test_an_unknown_address_that_would_decide_cannot_be_answered() -> None:
    covering = Installation(open_services=())
    known = making.world(policy(ingress=(allow("net", CidrPeer("10.0.0.0/8")),)), installation=covering)
    with pytest.raises(CannotTell, match="address of a pod"):
        ask(known, pod("web"), DB)


def test_an_unknown_address_does_not_matter_where_other_rules_decide() -> None:
    covering = Installation(open_services=())
    known = making.world(
        policy(ingress=(allow("net", CidrPeer("10.0.0.0/8")), allow("web", caller("web")))), installation=covering
    )
    assert ask(known, pod("web"), DB).ingress.allowed


@pytest.mark.parametrize(
    "named", [caller("web", "bank"), SpiffePeer("spiffe://cluster.local/ns/bank/sa/web")], ids=["identity", "spiffeID"]
)
def test_whom_a_deny_names_cannot_lift_it_by_deleting_the_identity(named: Peer) -> None:
    rules = (allow("any"), deny("no", named))
    known = making.world(policy(ingress=rules))
    assert not ingress(known, TELLER).allowed
    gone = replace(known, identities={**known.identities, "bank": {}})
    assert ingress(gone, TELLER).reason is Reason.DENIED_BY_RULE
    assert ingress(gone, API).allowed
    assert ingress(replace(gone, namespaces={"shop": gone.namespaces["shop"]}), API).allowed
