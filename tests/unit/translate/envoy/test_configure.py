"""What a configuration holds: only what the policy opens, the same bytes for the same meaning, and in time."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.trace.v3 import opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from ringfence.model.effective import RuleRef
from ringfence.model.labels import LabelBox, one_of
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort
from ringfence.model.proxy import ProxyConfig, Resource
from ringfence.model.proxy_settings import Tracing
from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Requests
from ringfence.model.resources import AnonymousPeer, AppliesTo, CidrPeer, IdentityPeer, NamespacePeer, PortSpec
from ringfence.model.spans import Spans
from ringfence.policy.callers import Callers, Identities
from ringfence.translate.envoy import messages, principals, rules, tls
from ringfence.translate.envoy import names as naming
from ringfence.translate.envoy.rules import PortRules

from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, deny, policy
from tests.unit.translate.envoy.making import chains, configured, mesh, names, service

API = policies.pod("api", ip="10.244.0.1")
WEB = policies.pod("web", ip="10.244.0.2")
DB = policies.pod("db", ip="10.244.0.3")
SQL = ServicePort("sql", 5432, 5432)


def reaching() -> Mesh:
    """api and web may call db; db's Service has two pods, one of another identity."""
    known = policies.world(
        policy("db", applies_to=None, ingress=(allow("api", caller("api"), ports=(PortSpec(5432),)),)),
        pods=(API, WEB, DB, policies.pod("db", "bank", ip="10.244.1.3")),
    )
    return mesh(known, {"shop": (service("db", SQL, ServicePort("x", 99, 99)), service("web", SQL, ip="10.96.0.2"))})


def test_only_services_that_the_policy_opens_are_there() -> None:
    found = configured(reaching())
    assert [name for name in names(found.clusters) if name.startswith("out|")] == [
        "out|shop/db|5432",
        "out|shop/web|5432",
    ]
    assert names(found.endpoints) == ["out|shop/db|5432", "out|shop/web|5432"]
    nobody = configured(reaching(), "db")
    assert names(nobody.endpoints) == []


def test_spans_are_of_an_identity_and_all_else_is_still_made_once_for_all() -> None:
    rules = (allow("api", caller("api")), allow("web", caller("web")))
    world = policies.world(policy("db", ingress=rules), pods=(API, WEB, DB))
    services = {"shop": (service("db", SQL, ServicePort("http", 80, 8080)),)}
    installation = replace(world.installation, tracing=Tracing("192.0.2.7", 4317))
    traced = mesh(replace(world, installation=installation), services)
    api, web = configured(traced), configured(traced, "web")
    of_api = {each.name: each for each in api.clusters}
    both = [each for each in web.clusters if each.name.startswith("out|shop/db|")]
    assert [each.name for each in both] == ["out|shop/db|5432", "out|shop/db|80"]
    assert all(of_api[each.name] is each for each in both)
    assert "tracing" in of_api
    for account, config in (("api", api), ("web", web)):
        (outbound,) = (each for each in config.listeners if each.name == naming.OUTBOUND)
        assert f'service_name: "{account}"' in str(tracers(outbound))
    untraced = configured(mesh(world, services))
    assert all(b"racing" not in each.body for each in (*untraced.clusters, *untraced.listeners))


def tracers(listener: Resource) -> list[object]:
    """The tracers of a listener's chains."""
    found = []
    for chain in messages.unpacked(listener, listener_pb2.Listener).filter_chains:
        for each in chain.filters:
            if each.typed_config.Is(hcm_pb2.HttpConnectionManager.DESCRIPTOR):
                manager = hcm_pb2.HttpConnectionManager.FromString(each.typed_config.value)
                found.append(
                    opentelemetry_pb2.OpenTelemetryConfig.FromString(manager.tracing.provider.typed_config.value)
                )
    return found


def test_the_peer_of_a_service_is_exactly_its_identities() -> None:
    found = configured(reaching())
    text = str(messages.unpacked(next(c for c in found.clusters if c.name == "out|shop/db|5432"), cluster_pb2.Cluster))
    assert "spiffe://cluster.local/ns/shop/sa/db" in text
    assert "bank" not in text


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((EndpointValue("db", "10.244.0.3"),), ["10.244.0.3"]),
        ((EndpointValue("db", "10.244.0.3", ready=False),), []),
        ((EndpointValue("db", "203.0.113.9"),), []),  # not its address
        ((EndpointValue("ghost", "10.244.0.3"),), []),  # no such pod
        ((EndpointValue("web", "10.244.0.2"),), []),  # a pod that the Service does not select
        ((EndpointValue("db", "not an address"),), []),
        ((), []),
    ],
)
def test_endpoints_that_lie_are_left_out(told: tuple[EndpointValue, ...], expected: list[str]) -> None:
    known = reaching()
    config = configured(replace(known, endpoints={("shop", "db"): told}, kept={}))
    endpoints = [messages.unpacked(e, endpoint_pb2.ClusterLoadAssignment) for e in config.endpoints if "db" in e.name]
    found = [
        each.endpoint.address.socket_address.address
        for assignment in endpoints
        for place in assignment.endpoints
        for each in place.lb_endpoints
    ]
    assert found == expected


def test_a_headless_service_is_reached_by_its_pods() -> None:
    known = reaching()
    found = configured(replace(known, services={"shop": (service("db", SQL, ip=""),)}, kept={}))
    clusters = [name for name in names(found.clusters) if name.startswith(("out|", "pod|"))]
    assert clusters == ["pod|shop/api", "pod|shop/db", "pod|shop/web"]


def test_strict_has_no_chain_for_plaintext_and_an_open_port_has() -> None:
    closed = mesh(policies.world(policy(ingress=(allow("web", caller("web"), ports=(PortSpec(5432),)),))))
    assert chains(configured(closed), "inbound") == ["in|5432|mesh", "refused"]
    lab = policies.pod("x", "lab", ip="10.244.9.9")
    rule = allow("lab", NamespacePeer("lab"), ports=(PortSpec(5432),))
    opened = mesh(policies.world(policy(ingress=(rule,)), pods=(lab,)))
    found = chains(configured(opened), "inbound")
    assert [name.rpartition("|")[0] for name in found] == ["in|5432", "in|5432|plain|allowed|shop/p#lab", ""]


def test_pods_that_come_and_go_change_no_chain() -> None:
    """What a rule names by namespace stands in the tree alone, so connections outlast others' pods."""
    rule = allow("lab", NamespacePeer("lab"), ports=(PortSpec(5432),))
    one, two = (
        mesh(policies.world(policy(ingress=(rule,)), pods=(policies.pod("x", "lab", ip=ip),)))
        for ip in ("10.244.9.1", "10.244.9.2")
    )
    first, second = configured(one), configured(two)
    assert first.revision != second.revision
    assert chains(first, "inbound") == chains(second, "inbound")


def test_a_changed_rule_changes_the_chain_that_it_opens() -> None:
    made = [
        configured(mesh(policies.world(policy(ingress=(allow("x", CidrPeer(cidr), ports=(PortSpec(5432),)),)))))
        for cidr in ("198.51.100.0/24", "198.51.100.0/25")
    ]
    assert chains(made[0], "inbound") != chains(made[1], "inbound")


def test_owners_are_the_policies_that_govern_the_pod() -> None:
    known = policies.world(
        policy("mine", ingress=(allow("x", caller("web")),)),
        policy("theirs", namespace="bank", ingress=(allow("x", caller("web")),)),
        floors=(policies.floor("floor", ingress=(deny("x", caller("web")),)),),
    )
    assert configured(mesh(known)).owners == ("ClusterSecurityPolicy floor", "SecurityPolicy shop/mine")


def test_who_is_denied_does_not_get_through_the_handshake() -> None:
    known = policies.world(
        policy(ingress=(allow("all", AnonymousPeer()), deny("web", caller("web")))), pods=(API, WEB, DB)
    )
    governing = PortRules(
        tuple(r for r in policies.effective(known)("shop").rules if r.ref.policy == "p"), enforced=True, strict=True
    )
    found = rules.expected(governing, Callers(known))
    assert found.exact
    assert found.identities == Identities(
        namespaces=frozenset({"bank"}), accounts=frozenset({("shop", "api"), ("shop", "db")})
    )


def test_where_addresses_of_pods_decide_the_program_waits_for_a_byte() -> None:
    installation = replace(policies.INSTALLATION, cidr_covers_pods=True)
    known = policies.world(policy(ingress=(allow("net", CidrPeer("10.0.0.0/8")),)), installation=installation)
    governing = PortRules(
        tuple(r for r in policies.effective(known)("shop").rules if r.ref.policy == "p"), enforced=True, strict=True
    )
    assert not rules.expected(governing, Callers(known)).exact


def test_a_context_without_expected_identities_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="any certificate"):
        tls.downstream([])
    with pytest.raises(ValueError, match="any certificate"):
        tls.upstream([])


@pytest.mark.parametrize(
    "ref",
    [
        RuleRef("SecurityPolicy", "shop", "pay.ments", "a.b"),
        RuleRef("ClusterSecurityPolicy", "", "floor", "x"),
        RuleRef("Builtin", "", "open", "dns"),
    ],
)
def test_policy_names_lead_back_to_the_rule(ref: RuleRef) -> None:
    assert naming.rule_ref(naming.policy_id(ref)) == ref


@pytest.mark.parametrize("text", ["", "none", "a/b", "a#b", "/b#c", "a/#c", "a/b#"])
def test_other_names_lead_nowhere(text: str) -> None:
    with pytest.raises(ValueError, match="is no namespace/policy#rule"):
        naming.rule_ref(text)


def test_names_that_are_no_identity_match_nobody() -> None:
    assert principals.exact([("shop", "a/../b"), ("shop", "*"), ("shop", "a\n"), ("s.hop", "a")], "cluster.local") == []


def test_addresses_become_the_fewest_networks() -> None:
    found = principals.of_addresses(Spans.of_addresses(["10.0.0.0", "10.0.0.1", "10.0.0.2"]))
    assert [(each.direct_remote_ip.address_prefix, each.direct_remote_ip.prefix_len.value) for each in found] == [
        ("10.0.0.0", 31),
        ("10.0.0.2", 32),
    ]


_STABLE = """
import sys
sys.path[:0] = {paths!r}
from tests.unit.translate.envoy import test_configure as t
print(t.configured(t.reaching()).revision)
"""


def test_the_same_meaning_is_the_same_bytes_in_every_process() -> None:
    paths = [path for path in sys.path if path]
    found = {
        subprocess.run(
            [sys.executable, "-c", _STABLE.format(paths=paths)],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert found == {configured(reaching()).revision + "\n"}


def many_rules(count: int) -> Mesh:
    """That many rules on one identity, Allows and Denies on thousands of ports."""
    peers = tuple(IdentityPeer("bank", ("api", "web", "db")[n % 3]) for n in range(count))
    ingress = tuple(
        allow(f"r{n}", peer, ports=(PortSpec(1000 + n % 3000),))
        if n % 7
        else deny(f"r{n}", peer, ports=(PortSpec(n + 1),))
        for n, peer in enumerate(peers)
    )
    return mesh(policies.world(policy(ingress=ingress), pods=(API,)))


def test_five_thousand_rules_on_one_identity() -> None:
    known = many_rules(5000)
    known.effective("shop")
    begun = time.process_time()
    found = configured(known, containers=[{"name": "c", "ports": [{"containerPort": p} for p in range(8000, 8010)]}])
    assert time.process_time() - begun < 10
    assert sum(len(each.body) for each in found.listeners) < 4 * 1024 * 1024


def many_requests(count: int) -> Mesh:
    """That many rules about requests on one route, of every kind."""
    kinds = (
        Requests((HttpMatch(("GET",), ("/a/b",)),)),
        Requests((HttpMatch(paths=("/a/*", "/b/{*}/c"), hosts=("pay.shop",)),)),
        Requests(when=(HeaderCondition("x-env", Asks.NOT_IN, ("prod", "test")),)),
        Requests((HttpMatch(("POST",), ("/shop.Pay/*",), grpc=True), HttpMatch(upgrades=("websocket",)))),
    )
    made = (deny if n % 5 == 0 else allow for n in range(count))
    rules = tuple(
        replace(
            make(f"r{n}", IdentityPeer("bank", ("api", "web")[n % 2]), ports=(PortSpec(8080),)), requests=kinds[n % 4]
        )
        for n, make in enumerate(made)
    )
    known = policies.world(
        policy(ingress=rules), pods=(API,), installation=replace(policies.INSTALLATION, proxies=True)
    )
    return mesh(known, {"shop": (service("api", ServicePort("http", 80, 8080)),)})


def test_a_thousand_rules_about_requests_on_one_route() -> None:
    known = many_requests(1000)
    known.effective("shop")
    begun = time.process_time()
    found = configured(known, containers=[{"name": "c", "ports": [{"containerPort": 8080}]}])
    assert time.process_time() - begun < 10
    (route,) = (each for each in found.routes if each.name == "in|8080|mesh")
    assert len(route.body) < 1024 * 1024
    assert sum(len(each.body) for each in found.listeners) < 64 * 1024


def test_the_listener_of_a_port_is_the_same_whatever_rules_say_of_requests() -> None:
    """So a rule is in force on connections that are open."""
    some, none = (configured(many_requests(count)) for count in (9, 1))
    assert some.listeners == none.listeners
    assert some.routes != none.routes


def counted(work: Callable[[], ProxyConfig]) -> tuple[ProxyConfig, int]:
    """What it makes, and how many functions are called for it: a measure that no other load changes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        made = work()
    finally:
        sys.setprofile(None)
    return made, calls


def test_a_thousand_services_cost_no_more_than_in_proportion() -> None:
    """Of which the identity may call five; the first class pays for what all share."""
    taken = []
    for count in (250, 1000):
        namespaces = [policies.enforced(f"n{n}") for n in range(count)]
        pods = tuple(policies.pod("db", f"n{n}", ip=f"10.244.{n // 250}.{n % 250 + 1}") for n in range(count))
        identities = tuple(policies.identity(f"n{n}", "db") for n in range(count))
        own = tuple(
            policy("p", namespace=f"n{n}", ingress=(allow("x", caller("api") if n < 5 else caller("db", f"n{n}")),))
            for n in range(count)
        )
        known = policies.world(*own, namespaces=tuple(namespaces), pods=(*pods, API), identities=identities)
        services = {
            f"n{n}": (service("db", SQL, ip=f"10.97.{n // 250}.{n % 250}", namespace=f"n{n}"),) for n in range(count)
        }
        found = mesh(known, services)
        config, shared = counted(lambda found=found: configured(found))
        again, own_work = counted(lambda found=found: configured(found))
        taken.append((shared, own_work))
        assert again == config
        assert len(config.endpoints) == 5
    assert taken[1][0] < 6 * taken[0][0]
    # One class more costs the same whether the cluster has 250 services or 1,000.
    assert taken[1][1] < 2 * taken[0][1]


def test_what_classes_have_in_common_is_made_once_and_outlasts_the_snapshot() -> None:
    """Two identities that call one Service get the very same resources for it, now and from the next snapshot."""
    rule = allow("both", caller("api"), caller("web"), ports=(PortSpec(5432),))

    def called_by(account: str) -> ProxyConfig:
        known = policies.world(policy("db", ingress=(rule,)), pods=(API, WEB, DB))
        return configured(mesh(known, {"shop": (service("db", SQL),)}), account)

    one, other = called_by("api"), called_by("web")
    for first, second in ((one.clusters, other.clusters), (one.endpoints, other.endpoints)):
        named = [next(each for each in found if each.name == "out|shop/db|5432") for found in (first, second)]
        assert named[0] is named[1]


def test_of_pods_that_are_alike_every_one_is_an_endpoint_and_of_others_none() -> None:
    """Pods behind a Service are judged together only where the policy cannot tell them apart."""
    tiers = {11: "outer", 12: "outer", 13: "inner"}
    web = tuple(
        replace(policies.pod("web", ip=f"10.244.0.{number}", tier=tier), name=f"web-{number}")
        for number, tier in tiers.items()
    )
    inner = policy(
        "inner",
        applies_to=AppliesTo(pod_selector=LabelBox.of({"tier": one_of("inner")})),
        ingress=(deny("api", caller("api"), ports=(PortSpec(5432),)),),
    )
    outer = policy("outer", applies_to=None, ingress=(allow("api", caller("api"), ports=(PortSpec(5432),)),))
    known = policies.world(outer, inner, pods=(API, *web))
    config = configured(mesh(known, {"shop": (service("web", SQL),)}))
    found = messages.unpacked(config.endpoints[0], endpoint_pb2.ClusterLoadAssignment)
    addresses = [e.endpoint.address.socket_address.address for place in found.endpoints for e in place.lb_endpoints]
    assert addresses == ["10.244.0.11", "10.244.0.12"]
