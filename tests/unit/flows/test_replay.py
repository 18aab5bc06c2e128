"""What becomes of recorded calls: who they are, how they are counted, what cannot be told."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from ringfence.flows import gaps, replay
from ringfence.flows.cast import Learned
from ringfence.flows.flow import Flow, Party, View
from ringfence.flows.general import general
from ringfence.flows.judge import Judge
from ringfence.flows.replay import Replay
from ringfence.model.effective import Direction
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.requests import (
    Asks,
    HeaderCondition,
    HttpMatch,
    Request,
    Requests,
)
from ringfence.model.resources import (
    AnonymousPeer,
    CidrPeer,
    Mode,
    Protocol,
    Rule,
    SecurityPolicy,
)
from ringfence.model.world import Workload, World

from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny, effective, pod, policy

DB = (("ringfence.dev/identity", "db"),)
PORTS = (ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432))
SERVICES = {"shop": (ServiceValue("shop", "db", ports=PORTS, selector=DB),), "bank": ()}
PODS = (pod("db", ip="10.244.0.1"), pod("web", ip="10.244.0.2"), pod("api", ip="10.244.0.3"))
PROXIED = tuple(replace(each, proxied=True) for each in PODS)
ALL = replace(making.INSTALLATION, proxies=True)


def world(*policies: SecurityPolicy, pods: tuple[Workload, ...] = PROXIED, **rest: Any) -> World:
    return making.world(*policies, pods=pods, installation=ALL, **rest)


def replayed(
    known: World,
    flows: Iterable[Flow],
    learned: Learned | None = None,
    old: World | None = None,
    services: Any = SERVICES,
) -> Replay:
    learned = learned or Learned()
    before = Judge(old, effective(old), services, learned.accounts) if old is not None else None
    found = Replay(Judge(known, effective(known), services, learned.accounts), before)
    for flow in flows:
        found.add(flow)
    return found


def named(text: str) -> Party:
    namespace, _, name = text.partition("/")
    return Party(namespace, name, named=True)


def flow(source: str = "shop/web", target: str = "shop/db", port: int = 5432, **rest: Any) -> Flow:
    return Flow(named(source), named(target), Protocol.TCP, port, **rest)


def get(path: str, method: str = "GET", host: str = "db.shop", **rest: Any) -> Flow:
    return flow(port=8080, request=Request(method, path, host), **rest)


def why(found: Replay) -> str:
    (group,) = found.unknown.values()
    return group.why


WEB = policy("p", ingress=(allow("web", caller("web")),))


def test_what_is_allowed_does_not_break() -> None:
    found = replayed(world(WEB), [flow(first=5.0, last=6.0, count=3), flow(first=2.0, last=2.0)])
    assert (found.flows, found.allowed.count, found.allowed.first, found.allowed.last) == (2, 4, 2.0, 6.0)
    assert not found.broken
    assert not found.unknown


def test_what_is_denied_breaks_with_the_half_that_decides() -> None:
    found = replayed(world(WEB), [flow("shop/api"), flow("shop/api", count=2)])
    (group,) = found.broken.values()
    assert (group.source, group.target, group.port, group.seen.count) == ("shop/api", "shop/db", 5432, 3)
    assert group.half is not None
    assert (group.half.direction, group.half.reason) == (Direction.INGRESS, "NoRuleAllows")


def test_what_was_denied_when_recorded_cannot_break() -> None:
    found = replayed(world(WEB), [flow("shop/api", denied=True), flow(denied=True)])
    assert not found.broken
    assert found.denied.count == 1
    assert [group.source for group in found.opened.values()] == ["shop/web"]


def test_only_what_is_allowed_now_can_break() -> None:
    none = world(policy("p", ingress=(deny("all"),)))
    found = replayed(none, [flow(), flow("shop/api")], old=world(WEB))
    assert [group.source for group in found.broken.values()] == ["shop/web"]
    assert [group.source for group in found.already.values()] == ["shop/api"]


def test_a_call_that_both_ends_have_seen_counts_once() -> None:
    flows = [flow("shop/api", view=View.TARGET)] * 3 + [flow("shop/api", view=View.SOURCE)] * 5
    (group,) = replayed(world(WEB), flows).broken.values()
    assert group.seen.count == 3
    (group,) = replayed(world(WEB), flows[3:]).broken.values()
    assert group.seen.count == 5


def test_calls_that_each_end_alone_has_seen_all_count() -> None:
    flows = [flow(view=View.TARGET), flow(port=80, view=View.SOURCE), flow(view=View.SOURCE)]
    assert replayed(world(WEB), flows).allowed.count == 2


def test_rules_that_nobody_used() -> None:
    bank = caller("web", "bank")
    known = world(
        policy("p", ingress=(allow("web", caller("web")), allow("api", caller("api"), ports=(80,)), deny("x", bank))),
        policy("later", ingress=(allow("a", caller("api")),), mode=Mode.AUDIT),
    )
    found = replayed(known, [flow(), flow("shop/api", port=81)])
    policies = (found.new.effective(name) for name in known.namespaces)
    assert [(str(ref), direction) for ref, direction in replay.unused(policies, found.used)] == [
        ("SecurityPolicy shop/p rule api", Direction.INGRESS)
    ]


def test_a_rule_is_used_by_whatever_it_lets_pass_not_by_the_first_alone() -> None:
    known = world(policy("p", ingress=(allow("web", caller("web")), allow("any"))))
    found = replayed(known, [flow()])
    assert {ref.rule for _, ref in found.used} == {"web", "any"}


# --- who the ends are -------------------------------------------------------------------------------------------------


def log(**rest: Any) -> Flow:
    source, target = Party("shop", "web", ip="10.244.0.2"), Party(ip="10.244.0.1", local=True)
    return Flow(source, target, Protocol.TCP, 5432, view=View.TARGET, **rest)


def learned_of(*accounts: str) -> Learned:
    """What proxies have seen of 10.244.0.1."""
    found = Learned()
    for account in accounts:
        source, target = Party(ip="10.244.0.9", local=True), Party("shop", account, ip="10.244.0.1")
        found.add(Flow(source, target, Protocol.TCP, 5432, view=View.SOURCE))
    return found


def test_an_address_is_the_pod_that_has_it() -> None:
    assert replayed(world(WEB), [log()]).allowed.count == 1


def test_an_address_that_no_pod_has_is_not_known() -> None:
    found = replayed(world(WEB, pods=()), [log()])
    assert why(found) == "address 10.244.0.1: it is a pod's, and no pod has it"


def test_an_address_is_whose_certificate_was_seen_there() -> None:
    assert replayed(world(WEB, pods=()), [log()], learned_of("db", "db")).allowed.count == 1


def test_an_identity_of_another_trust_domain_is_nobody_here() -> None:
    foreign = Party("shop", "web", domain="example.org")
    found = replayed(world(WEB), [Flow(foreign, named("shop/db"), Protocol.TCP, 5432)])
    assert why(found) == "spiffe://example.org/ns/shop/sa/web: it is of another trust domain"
    own = Party("shop", "web", domain="cluster.local")
    assert replayed(world(WEB), [Flow(own, named("shop/db"), Protocol.TCP, 5432)]).allowed.count == 1


def test_an_address_that_two_had_tells_nothing() -> None:
    found = replayed(world(WEB, pods=()), [log()], learned_of("db", "api"))
    assert why(found) == "address 10.244.0.1: it is a pod's, and several pods had it"


def test_nothing_is_learned_from_plaintext() -> None:
    found, source = Learned(), Party("shop", "db", ip="10.244.0.1")
    found.add(Flow(source, Party(ip="10.244.0.2"), Protocol.TCP, 1, view=View.TARGET, plaintext=True))
    assert not found.accounts


@pytest.mark.parametrize(
    ("name", "kind", "known"),
    [
        ("db-7d9c5f6b8-x2x4v", "Deployment", True),
        ("db-0", "StatefulSet", True),
        ("db-x2x4v", "DaemonSet", True),
        ("db-28412345-x2x4v", "CronJob", True),
        ("db", "Deployment", False),
        ("dbx-0", "StatefulSet", False),
    ],
)
def test_pods_are_those_of_the_workload_that_makes_them(name: str, kind: str, known: bool) -> None:
    made = replace(pod("db"), kind=kind, proxied=True)
    source = replace(pod("web"), kind="Deployment", proxied=True)
    found = replayed(
        world(WEB, pods=(made, source)), [Flow(named("shop/web"), Party("shop", pod=name), Protocol.TCP, 5432)]
    )
    assert bool(found.allowed.count) is known
    assert bool(found.unknown) is not known


def test_an_unknown_identity_is_named() -> None:
    found = replayed(world(WEB), [flow("shop/ghost")])
    assert why(found) == "shop/ghost: there is neither a ServiceIdentity nor a pod of that name"


def test_pods_of_an_identity_that_differ_cannot_be_told() -> None:
    pods = (
        replace(pod("db"), name="a", labels={**pod("db").labels, "tier": "x"}),
        replace(pod("db"), name="b"),
        *PODS[1:],
    )
    blue = making.AppliesTo(pod_selector=making.LabelBox.of({"tier": making_one_of("x")}))
    known = world(WEB, policy("q", applies_to=blue, ingress=(deny("no", caller("web")),)), pods=pods)
    found = replayed(known, [flow()])
    assert why(found) == "the pods of shop/db differ, and the record does not say which one it was"


def making_one_of(value: str) -> Any:
    from ringfence.model import labels

    return labels.one_of(value)


def test_addresses_outside_are_told_apart_as_far_as_rules_do() -> None:
    known = world(policy("p", ingress=(allow("office", CidrPeer("198.51.100.0/24")),)))
    flows = [
        Flow(Party(ip=ip), named("shop/db"), Protocol.TCP, 5432, plaintext=True)
        for ip in ("198.51.100.7", "198.51.100.8", "203.0.113.1", "203.0.113.2", "2001:db8::1")
    ]
    found = replayed(known, flows)
    assert found.allowed.count == 2
    (group,) = found.broken.values()
    assert set(group.addresses) == {"203.0.113.1", "203.0.113.2", "2001:db8::1"}


def test_plaintext_needs_a_rule_for_those_without_identity() -> None:
    found = replayed(world(WEB), [flow(plaintext=True)])
    (group,) = found.broken.values()
    assert group.half is not None
    assert group.half.reason == "NeedsMutualTLS"
    assert replayed(world(policy(ingress=(allow("all", AnonymousPeer()),))), [flow(plaintext=True)]).allowed.count == 1


# --- requests ---------------------------------------------------------------------------------------------------------


def about(requests: Requests, name: str = "some", action: Any = allow) -> Rule:
    return replace(action(name, caller("web"), ports=(8080,)), requests=requests)


ORDERS = policy("p", ingress=(about(Requests((HttpMatch(("GET",), ("/orders/{*}",)),))),))


def test_requests_are_judged_one_by_one() -> None:
    flows = [
        get("/orders/1"),
        get("/orders/2"),
        get("/orders/2?x=1"),
        get("/orders/1", "POST"),
        get("/orders"),
        get("/orders//1"),
    ]
    found = replayed(world(ORDERS), flows)
    assert found.allowed.count == 3
    requests = {text: count for group in found.broken.values() for text, count in group.requests.items()}
    assert requests == {"POST /orders/{*}": 1, "GET /orders": 1, "GET /orders//1": 1}


def test_answers_are_kept_for_requests_that_mean_the_same() -> None:
    known = world(ORDERS)
    judge = Judge(known, effective(known), SERVICES, {})
    answers = {id(judge.judged(get(f"/orders/{number}?q={number}")).outcome) for number in range(100)}
    assert len(answers) == 1


def test_on_a_port_of_bytes_a_rule_about_requests_lets_nothing_pass() -> None:
    rule = replace(allow("some", caller("web"), ports=(5432,)), requests=Requests((HttpMatch(("GET",)),)))
    assert len(replayed(world(policy(ingress=(rule,))), [flow(request=Request("GET", "/"))]).broken) == 1


def test_without_services_what_was_recorded_as_a_request_is_one() -> None:
    assert replayed(world(ORDERS), [get("/orders/1")], services={}).allowed.count == 1


def test_a_connection_of_which_only_some_requests_pass_cannot_be_told() -> None:
    found = replayed(world(ORDERS), [flow(port=8080)])
    assert why(found) == "rules are about requests, and the record does not say which it was"
    assert {ref.rule for _, ref in found.used} == {"some"}


def test_a_connection_that_no_request_could_use_breaks() -> None:
    found = replayed(world(ORDERS), [flow("shop/api", port=8080)])
    assert len(found.broken) == 1


def test_headers_that_were_not_recorded_are_not_guessed() -> None:
    rule = about(Requests((HttpMatch(("GET",)),), (HeaderCondition("x-env", Asks.IN, ("prod",)),)))
    known = world(policy(ingress=(rule,)))
    assert why(replayed(known, [get("/")])) == "rules look at headers (x-env), which the record does not have"
    assert len(replayed(known, [get("/", "POST")]).broken) == 1
    prod = flow(port=8080, request=Request("GET", "/", "db.shop", {"x-env": ("prod",)}), headers=True)
    assert replayed(known, [prod]).allowed.count == 1


def test_what_no_record_tells_is_not_guessed_whatever_rules_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "HEADERS", gaps.BARE)
    rule = about(Requests((HttpMatch(("GET",)),), (HeaderCondition("x-env", Asks.EXISTS),)))
    known = world(policy(ingress=(rule,)))
    sent = Request("GET", "/", "db.shop", {"x-env": ("prod",)})
    found = replayed(known, [flow(port=8080, request=sent, headers=True)])
    assert why(found) == "rules look at headers (x-env), which the record does not have"
    assert {ref.rule for _, ref in found.used} == {"some"}
    assert len(replayed(known, [flow(port=8080, request=replace(sent, method="PUT"), headers=True)]).broken) == 1


def test_a_host_that_was_not_recorded_is_not_guessed() -> None:
    known = world(policy(ingress=(about(Requests((HttpMatch(hosts=("db.shop",)),))),)))
    assert replayed(known, [get("/")]).allowed.count == 1
    assert len(replayed(known, [get("/", host="other.shop")]).broken) == 1
    assert len(replayed(known, [get("/", host="")]).unknown) == 1


def test_a_call_of_grpc_is_told_by_its_path_where_there_are_no_headers() -> None:
    known = world(policy(ingress=(about(Requests((HttpMatch(("POST",), ("/shop.Pay/*",), grpc=True),))),)))
    assert replayed(known, [get("/shop.Pay/Charge", "POST")]).allowed.count == 1
    assert len(replayed(known, [get("/shop.Other/Charge", "POST")]).broken) == 1


def test_many_different_calls_take_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "_MANY", 10)
    found = replayed(world(WEB), [flow("shop/api", port=number) for number in range(1, 100)])
    assert len(found.broken) == 11
    (rest,) = (group for group in found.broken.values() if group.half is None)
    assert (rest.source, rest.why, rest.seen.count) == ("others", "too many different calls to tell apart", 89)
    assert sum(group.seen.count for group in found.broken.values()) == 99


@pytest.mark.parametrize(
    ("path", "in_general"),
    [
        ("/", "/"),
        ("/orders/17", "/orders/{*}"),
        ("/orders/17/items/3f2b8c1e-9d4a-4b6f-8e21-0a1b2c3d4e5f?x=1", "/orders/{*}/items/{*}"),
        ("/blobs/deadbeefdeadbeef0123", "/blobs/{*}"),
        ("/deadbeefdeadbeefdead", "/deadbeefdeadbeefdead"),
        ("/v1/users/", "/v1/users/"),
        ("/a/%20b/c", "/a/{*}/c"),
        ("/a/../b", "/b"),
        ("/caf\xe9", "/{*}"),
        ("/a;x=1", None),
        ("/a//b", None),
        ("/a%2fb", None),
        ("a", None),
        ("/" + "a" * 300, None),
    ],
)
def test_paths_in_general(path: str, in_general: str | None) -> None:
    assert general(path) == in_general
