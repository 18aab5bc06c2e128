"""What every NetworkPolicy has in common, and the guards against saying "all" by leaving something out."""

import json
from dataclasses import replace

import pytest
from ringfence.model import labels
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.net import PortSet
from ringfence.model.resources import (
    AnonymousPeer,
    AppliesTo,
    CidrPeer,
    Mode,
    NamespacePeer,
    PortSpec,
    Protocol,
    ZonePeer,
)
from ringfence.model.world import Installation, Namespace, OpenService, World
from ringfence.policy.peers import ANY_POD
from ringfence.policy.resolve import resolve
from ringfence.translate import network_policy
from ringfence.translate.network_policy import Entry, Manifest

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, policy


def compiled(known: World, namespace: str = "shop") -> dict[str, Manifest]:
    """The objects by name."""
    found = network_policy.objects(resolve(known, namespace), known.installation)
    assert [each["metadata"]["name"] for each in found] == sorted(each["metadata"]["name"] for each in found)
    return {each["metadata"]["name"]: each for each in found}


def ingress(known: World, name: str = "ringfence-policy-p-ingress") -> list[Manifest]:
    found: list[Manifest] = compiled(known)[name]["spec"]["ingress"]
    return found


def test_a_closed_namespace_without_policies_is_default_deny_and_may_call_inside() -> None:
    found = compiled(making.world())
    assert list(found) == ["ringfence-allow-inside", "ringfence-default-deny"]
    assert found["ringfence-default-deny"] == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "ringfence-default-deny",
            "namespace": "shop",
            "labels": {"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "network"},
        },
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


@pytest.mark.parametrize("enrolment", ["audit", "none", "enforced"])
def test_a_namespace_that_is_not_enforced_has_none(enrolment: str) -> None:
    other = Namespace.of("other", {LABEL_ENROLL: enrolment}, enforced=True)
    assert compiled(making.world(policy(namespace="other", ingress=(allow("x"),)), namespaces=(other,)), "other") == {}


def test_an_entry_without_peers_or_ports_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="would allow all"):
        Entry((), PortSet(everything=True))
    with pytest.raises(ValueError, match="would allow all"):
        Entry((ANY_POD,), PortSet())


def test_peers_that_select_nothing_are_refused_where_entries_are_written() -> None:
    nobody = replace(ANY_POD, pods=LabelBox.of({"a": labels.one_of()}))
    with pytest.raises(ValueError, match="would allow all"):
        network_policy._entry(Entry((nobody,), PortSet(everything=True)), "from")


@pytest.mark.parametrize(
    "rules",
    [
        (allow("ghost", caller("ghost")),),
        (allow("web", caller("web")), deny("no", caller("web"))),
        (allow("web", caller("web"), ports=(80,)), deny("no", caller("web"), ports=(PortSpec(1, 100),))),
        (allow("pods", CidrPeer("10.244.3.0/24")),),
        (allow("zone", ZonePeer("a")), deny("no")),
        (),
    ],
)
def test_an_allow_of_which_nothing_is_left_writes_nothing(rules: tuple[making.Rule, ...]) -> None:
    assert "ringfence-policy-p-ingress" not in compiled(making.world(policy(ingress=rules)))


def test_a_policy_that_governs_no_pods_writes_nothing() -> None:
    known = making.world(
        policy(applies_to=AppliesTo(identities=("long",)), ingress=(allow("web", caller("web")),)),
        identities=(making.identity("shop", "long", "a" * 64),),
    )
    assert list(compiled(known)) == ["ringfence-allow-inside", "ringfence-default-deny"]


def test_everyone_is_an_entry_without_from() -> None:
    known = making.world(policy(ingress=(allow("all", AnonymousPeer(), caller("web"), ports=(80,)),)))
    assert ingress(known) == [{"ports": [{"protocol": "TCP", "port": 80}]}]


def test_everyone_on_every_port_is_an_empty_entry() -> None:
    assert ingress(making.world(policy(ingress=(allow("all", AnonymousPeer()),)))) == [{}]


def test_identities_of_one_namespace_share_a_peer() -> None:
    known = making.world(
        policy(ingress=(allow("a", caller("web"), ports=(80,)), allow("b", caller("api"), ports=(80,))))
    )
    (entry,) = ingress(known)
    (peer,) = entry["from"]
    assert peer["podSelector"] == {
        "matchExpressions": [{"key": LABEL_IDENTITY, "operator": "In", "values": ["api", "web"]}]
    }


def test_ports_of_the_same_peers_share_an_entry() -> None:
    known = making.world(
        policy(ingress=(allow("a", caller("web"), ports=(443,)), allow("b", caller("web"), ports=(80, 81))))
    )
    (entry,) = ingress(known)
    assert entry["ports"] == [
        {"protocol": "TCP", "port": 80, "endPort": 81},
        {"protocol": "TCP", "port": 443},
    ]


def test_what_another_rule_allows_already_is_not_said_again() -> None:
    known = making.world(policy(ingress=(allow("all", AnonymousPeer()), allow("web", caller("web"), ports=(80,)))))
    assert ingress(known) == [{}]


def test_all_ports_of_a_protocol_are_the_protocol() -> None:
    ports = (PortSpec(1, 65535, Protocol.UDP), PortSpec("dns", None, Protocol.UDP))
    (entry,) = ingress(making.world(policy(ingress=(allow("udp", caller("web"), ports=ports),))))
    assert entry["ports"] == [{"protocol": "UDP"}, {"protocol": "UDP", "port": "dns"}]


def test_rules_are_named_in_an_annotation() -> None:
    found = compiled(making.world(policy(ingress=(allow("b", caller("web")), allow("a", caller("api"))))))
    annotations = found["ringfence-policy-p-ingress"]["metadata"]["annotations"]
    assert annotations == {"ringfence.dev/rules": "SecurityPolicy shop/p rule a, SecurityPolicy shop/p rule b"}


def test_very_many_rules_are_counted_in_the_annotation() -> None:
    rules = tuple(allow(f"rule-{number:04}", caller("web"), ports=(number + 1,)) for number in range(1000))
    found = compiled(making.world(policy(ingress=rules)))
    text = found["ringfence-policy-p-ingress"]["metadata"]["annotations"]["ringfence.dev/rules"]
    shown, _, more = text.partition(", and ")
    assert len(text) < 9000
    assert len(shown.split(", ")) + int(more.split()[0]) == 1000


def test_policies_and_floors_have_objects_of_their_own() -> None:
    rule = (allow("x", caller("web")),)
    found = compiled(making.world(policy("same", ingress=rule, egress=rule), floors=(floor("same", ingress=rule),)))
    assert [name for name in found if "same" in name] == [
        "ringfence-clusterpolicy-same-ingress",
        "ringfence-policy-same-egress",
        "ringfence-policy-same-ingress",
    ]


def test_pods_split_by_a_deny_get_numbered_objects() -> None:
    known = making.world(
        policy("a", ingress=(allow("web", caller("web")),)),
        policy("b", applies_to=AppliesTo(identities=("db",)), ingress=(deny("no", caller("web"), ports=(22,)),)),
    )
    found = compiled(known)
    selectors = {name: each["spec"]["podSelector"] for name, each in found.items() if "policy-a" in name}
    assert selectors == {
        "ringfence-policy-a-ingress": {"matchLabels": {LABEL_IDENTITY: "db"}},
        "ringfence-policy-a-ingress-2": {
            "matchExpressions": [{"key": LABEL_IDENTITY, "operator": "NotIn", "values": ["db"]}]
        },
    }


def test_long_names_are_cut_and_told_apart() -> None:
    names = ("a" * 253, "a" * 252 + "b", "a." * 120 + "a" * 13)
    found = compiled(making.world(*(policy(name, ingress=(allow("x", caller("web")),)) for name in names)))
    long = [name for name in found if "policy-a" in name]
    assert len(long) == 3
    assert all(len(name) <= 253 and "." + "-" not in name for name in long)


def test_very_many_peers_are_spread_over_several_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_policy, "MAX_WORDS", 1000)
    addresses = tuple(CidrPeer(f"203.{number // 256}.{number % 256}.0/24") for number in range(2500))
    found = compiled(
        making.world(policy("spread", ingress=(allow("many", *addresses), allow("web", caller("web"), ports=(80,)))))
    )
    sizes = [
        [len(entry["from"]) for entry in each["spec"]["ingress"]] for name, each in found.items() if "spread" in name
    ]
    assert sizes == [[1000], [1000], [500, 1]]


def test_open_services_with_the_name_of_a_default_do_not_hide_it() -> None:
    services = tuple(
        OpenService(name, "lab", {"app": name}, ((Protocol.TCP, 80),)) for name in ("inside", "inside-2", "dns")
    )
    found = compiled(making.world(installation=Installation(open_services=services)))
    assert list(found) == [
        "ringfence-allow-dns",
        "ringfence-allow-inside",
        "ringfence-allow-service-inside",
        "ringfence-allow-service-inside-2",
        "ringfence-default-deny",
    ]


def test_an_open_address_is_written_as_one_and_a_deny_of_it_is_remarked() -> None:
    outside = OpenService("collector", "", {}, ((Protocol.TCP, 4317),), ("192.0.2.7/32",))
    refusing = policy(egress=(deny("net", CidrPeer("192.0.2.0/24")), deny("pods", NamespacePeer("lab"))))
    known = making.world(refusing, installation=Installation(open_services=(outside,)))
    opened = compiled(known)["ringfence-allow-collector"]
    assert opened["spec"]["egress"] == [
        {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"protocol": "TCP", "port": 4317}]}
    ]
    (said,) = making.findings(known, "BuiltinStaysOpen")
    assert "collector (192.0.2.7/32)" in said.message


def test_a_policy_in_mode_audit_writes_nothing() -> None:
    plain = making.world()
    tried = making.world(policy(ingress=(allow("x"), deny("y")), egress=(), mode=Mode.AUDIT))
    assert compiled(tried) == compiled(plain)


def test_callers_get_objects_of_their_own() -> None:
    known = making.world(policy(ingress=(allow("x", caller("web")),)))
    before = json.dumps(compiled(known))
    compiled(known)["ringfence-policy-p-ingress"]["spec"]["ingress"].clear()
    assert json.dumps(compiled(known)) == before
