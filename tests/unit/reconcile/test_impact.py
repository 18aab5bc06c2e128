"""Who must be looked at again when another namespace changes, and nobody else."""

from ringfence import api
from ringfence.model.resources import ClusterSecurityPolicy, SecurityPolicy
from ringfence.reconcile.impact import Impact, named

from tests.unit.reconcile import fakes


def parsed(namespace: str, *peers: dict[str, object], direction: str = "ingress") -> SecurityPolicy:
    ends = "from" if direction == "ingress" else "to"
    rules = [{"name": f"rule-{number}", ends: [peer]} for number, peer in enumerate(peers)]
    obj = fakes.policy(namespace, "payments", [])
    obj["spec"] = {direction: rules}
    value = api.parse(obj)
    assert isinstance(value, SecurityPolicy)
    return value


BANK = {"identity": {"namespace": "bank", "name": "teller"}}


def test_every_kind_of_peer_that_names_a_namespace_counts() -> None:
    peers = [
        BANK,
        {"namespace": "monitoring"},
        {"spiffeID": "spiffe://cluster.local/ns/far/sa/x"},
        {"spiffeID": "spiffe://other.example/not/ours"},
        {"cidr": "10.0.0.0/8"},
        {"apiServer": True},
    ]
    assert sorted(named(parsed("shop", *peers[:4]))) == ["bank", "far", "monitoring"]
    assert sorted(named(parsed("shop", *peers[4:], direction="egress"))) == []
    assert sorted(named(parsed("shop", BANK, direction="egress"))) == ["bank"]


def test_rules_without_peers_name_nobody() -> None:
    value = api.parse(fakes.cluster_policy("floor"))
    assert isinstance(value, ClusterSecurityPolicy)
    assert list(named(value)) == []


def test_a_zone_may_hold_any_namespace() -> None:
    impact = Impact()
    impact.note("shop", [parsed("shop", {"zone": "inner"})])
    assert impact.of_namespace("whoever") == {"shop"}
    assert impact.of_identity("whoever") == frozenset()


def test_a_namespace_does_not_depend_on_itself() -> None:
    impact = Impact()
    impact.note("bank", [parsed("bank", BANK)])
    assert impact.of_identity("bank") == frozenset()


def test_what_is_not_named_any_more_is_forgotten() -> None:
    impact = Impact()
    impact.note("shop", [parsed("shop", BANK)])
    impact.note("other", [parsed("other", BANK)])
    assert impact.of_identity("bank") == {"shop", "other"}
    impact.note("shop", [])
    assert impact.of_identity("bank") == {"other"}
    impact.forget("other")
    assert impact.of_identity("bank") == frozenset()
    assert (impact._names, dict(impact._named_by)) == ({}, {})
