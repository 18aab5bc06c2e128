"""What proxies fetch: for the pods whose rules ask for it, from listed hosts, and nothing where no proxy is."""

from dataclasses import replace
from typing import Any

import pytest
from ringfence.model.effective import AddressPeers, EffectivePolicy
from ringfence.model.requests import Requests
from ringfence.model.resources import AppliesTo, CidrPeer, Mode, Rule, Traffic
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key
from ringfence.model.traffic import Asks, By, Limit, Rate
from ringfence.model.world import World
from ringfence.policy import issuers
from ringfence.policy.resolve import resolve
from ringfence.translate import network_policy

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, floor, policy

CORP = Issuer("corp", "https://corp.example", ("pay",), jwks_uri="https://login.corp.example:8443/keys")
PASTED = replace(CORP, name="pasted", jwks_uri="", jwks='{"keys":[]}')
INSTALLATION = replace(making.INSTALLATION, proxies=True, jwks_hosts=("*.corp.example",))
OBJECT = "ringfence-fetch-keys"


def asking(rule: Rule, issuer: Issuer = CORP) -> Rule:
    return replace(rule, requests=Requests(token=TokenMatch(cluster_key(issuer.name), (("role", ("a",)),))))


IN = asking(allow("in", caller("web"), ports=(80,)))


def world(*rules: Rule, mode: Mode = Mode.ENFORCE, denies: tuple[Rule, ...] = (), **installation: Any) -> World:
    declaring = floor("platform", egress=denies) if denies else floor("platform")
    made = policy(applies_to=AppliesTo(identities=("db",)), ingress=rules, mode=mode)
    pods = tuple(replace(making.pod(each, ip=f"10.244.0.{n}"), proxied=True) for n, each in enumerate(("db", "web")))
    return making.world(
        made,
        floors=(replace(declaring, spec=replace(declaring.spec, issuers=(CORP, PASTED))),),
        pods=pods,
        installation=replace(INSTALLATION, **installation),
    )


def compiled(known: World) -> tuple[EffectivePolicy, dict[str, Any]]:
    found = resolve(known, "shop")
    return found, {each["metadata"]["name"]: each for each in network_policy.objects(found, known.installation)}


def test_the_network_opens_the_port_for_the_pods_that_are_asked_and_for_no_others() -> None:
    policy_, objects = compiled(world(IN))
    spec = objects[OBJECT]["spec"]
    assert spec["podSelector"] == {"matchLabels": {"ringfence.dev/identity": "db"}}
    assert spec["policyTypes"] == ["Egress"]
    (entry,) = spec["egress"]
    assert entry["ports"] == [{"protocol": "TCP", "port": 8443}]
    blocks = [each["ipBlock"] for each in entry["to"]]
    excluded = {cidr for each in blocks for cidr in each.get("except", ())}
    assert {"10.0.0.0/8", "169.254.0.0/16", "127.0.0.0/8"} <= excluded
    (rule,) = policy_.fetches
    (peer,) = rule.peers
    assert isinstance(peer, AddressPeers)
    assert [each in peer.addresses for each in ("20.0.0.1", "10.244.0.9", "192.168.0.1", "10.96.0.1")] == [
        *(True, False, False, False)
    ]


def test_no_program_may_call_there_and_no_egress_is_listed() -> None:
    policy_, _ = compiled(world(IN))
    without, _ = compiled(world(asking(IN, PASTED)))
    assert [r for r in policy_.rules if r.direction == "egress"] == [
        r for r in without.rules if r.direction == "egress"
    ]
    assert policy_.egress_listed == ()


def test_nothing_is_opened_where_keys_are_pasted_or_nobody_asks() -> None:
    for rule in (asking(IN, PASTED), replace(IN, requests=None)):
        policy_, objects = compiled(world(rule))
        assert policy_.fetches == ()
        assert OBJECT not in objects


def test_in_audit_tokens_are_judged_too() -> None:
    assert OBJECT in compiled(world(IN, mode=Mode.AUDIT))[1]


def test_nothing_is_opened_where_a_pod_has_no_proxy() -> None:
    known = world(IN)
    bare = {n: tuple(replace(p, proxied=p.name != "db") for p in found) for n, found in known.workloads.items()}
    assert OBJECT not in compiled(replace(known, workloads=bare))[1]
    assert OBJECT not in compiled(world(IN, proxies=False))[1]
    others = {n: tuple(replace(p, proxied=p.name == "db") for p in found) for n, found in known.workloads.items()}
    assert OBJECT in compiled(replace(known, workloads=others))[1]


def test_what_is_denied_stays_closed() -> None:
    closed = (deny("closed", CidrPeer("20.0.0.0/8"), ports=(8443,)),)
    (rule,) = compiled(world(IN, denies=closed))[0].fetches
    (peer,) = rule.peers
    assert isinstance(peer, AddressPeers)
    assert "20.0.0.1" not in peer.addresses
    assert "21.0.0.1" in peer.addresses
    elsewhere = (deny("closed", CidrPeer("20.0.0.0/8"), ports=(443,)),)
    (rule,) = compiled(world(IN, denies=elsewhere))[0].fetches
    (peer,) = rule.peers
    assert isinstance(peer, AddressPeers)
    assert "20.0.0.1" in peer.addresses
    everything = (deny("all", CidrPeer("0.0.0.0/0"), CidrPeer("::/0"), ports=(8443,)),)
    assert compiled(world(IN, denies=everything))[0].fetches == ()


def test_keys_of_a_host_that_is_not_listed_count_nowhere() -> None:
    known = world(IN, asking(deny("no", ports=(81,))), jwks_hosts=("login.corp.example.evil", "corp.example"))
    policy_, objects = compiled(known)
    assert OBJECT not in objects
    assert [key for _, key, _ in policy_.issuers] == [cluster_key("pasted")]
    tokens = [rule.requests.token for rule in policy_.rules if rule.requests is not None]
    assert [each.header for each in tokens if each is not None] == ["", ""]
    (finding,) = making.findings(known, "JwksHostNotListed")
    assert finding.subject == ("ClusterSecurityPolicy", "", "platform")
    assert "the issuer corp are at login.corp.example" in finding.message
    assert "network.jwksHosts" in finding.message


def test_proxies_know_fetched_issuers_only_where_a_rule_asks_for_them() -> None:
    policy_, _ = compiled(world(IN))
    db, web = ({"ringfence.dev/identity": each} for each in ("db", "web"))
    assert set(issuers.asked_of_pods(policy_, db)) == {
        cluster_key("corp"),
        cluster_key("pasted"),
    }
    assert set(issuers.asked_of_pods(policy_, web)) == {cluster_key("pasted")}


@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.AUDIT])
def test_a_limit_by_claim_asks_for_tokens_too(mode: Mode) -> None:
    """Otherwise no token would be good, and everybody would be counted as one."""
    limit = Limit(By.CLAIM, Rate(1, 60, 1), issuer=cluster_key("corp"), claim="sub")
    counting = policy("counting", applies_to=AppliesTo(identities=("db",)), mode=mode)
    counting = replace(counting, spec=replace(counting.spec, traffic=(Traffic("people", None, Asks((limit,))),)))
    plain = world(allow("in", caller("web"), ports=(80,)))
    known = replace(plain, policies={**plain.policies, "shop": (*plain.policies["shop"], counting)})
    assert OBJECT not in compiled(plain)[1]
    policy_, objects = compiled(known)
    assert objects[OBJECT]["spec"]["podSelector"] == {"matchLabels": {"ringfence.dev/identity": "db"}}
    db, web = ({"ringfence.dev/identity": each} for each in ("db", "web"))
    assert cluster_key("corp") in issuers.asked_of_pods(policy_, db)
    assert cluster_key("corp") not in issuers.asked_of_pods(policy_, web)


def test_another_address_or_other_roots_make_another_version() -> None:
    others = (CORP, replace(CORP, jwks_uri="https://login.corp.example/other"), replace(CORP, ca_bundle="roots"))
    assert len({*map(issuers.version, others), issuers.version(PASTED)}) == 4
