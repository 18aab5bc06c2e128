"""Tokens in Envoy's configuration: what travels with the listener, and what with the routes."""

from dataclasses import replace
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from ringfence.model.mesh import Mesh, ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.requests import Requests
from ringfence.model.resources import Mode, Rule
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key
from ringfence.translate import envoy
from ringfence.translate.envoy import messages, tokens

from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, deny, floor, policy
from tests.unit.translate.envoy import making

CORP = Issuer("corp", "https://corp.example", ("pay",), '{"keys":[]}')
PARTNER = replace(CORP, name="partner", issuer="https://partner.example", header="x-partner", remove=True)
INSTALLATION = replace(policies.INSTALLATION, proxies=True)
SERVICES = {"shop": (making.service("db", ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432)),)}
PORTS = [{"name": "c", "ports": [{"containerPort": 8080}, {"containerPort": 5432}]}]
WEB = allow("web", caller("web"), ports=(8080, 5432))


def asking(rule: Rule, issuer: Issuer = CORP, *claims: tuple[str, tuple[str, ...]]) -> Rule:
    return replace(rule, ports=rule.ports, requests=Requests(token=TokenMatch(cluster_key(issuer.name), claims)))


def mesh(*rules: Rule, known: tuple[Issuer, ...] = (CORP, PARTNER), mode: Mode = Mode.ENFORCE) -> Mesh:
    base = floor()
    declaring = replace(base, spec=replace(base.spec, issuers=known))
    written = policy(ingress=rules, mode=mode)
    world = policies.world(
        written, floors=(declaring,), pods=(policies.pod("db", ip="10.244.0.9"),), installation=INSTALLATION
    )
    return making.mesh(world, SERVICES)


def configured(found: Mesh) -> ProxyConfig:
    return making.configured(found, "db", containers=PORTS)


def listener(config: ProxyConfig) -> Any:
    found = next(each for each in config.listeners if each.name == "inbound")
    return messages.unpacked(found, listener_pb2.Listener)


def filters(config: ProxyConfig) -> dict[str, list[str]]:
    """The names of the HTTP filters of each chain that speaks HTTP."""
    found = {}
    for chain in listener(config).filter_chains:
        last = chain.filters[-1].typed_config
        if last.Is(hcm_pb2.HttpConnectionManager.DESCRIPTOR):
            manager = hcm_pb2.HttpConnectionManager.FromString(last.value)
            found[chain.name] = [each.name for each in manager.http_filters]
    return found


def route(config: ProxyConfig) -> Any:
    found = next(each for each in config.routes if each.name == "in|8080|mesh")
    return messages.unpacked(found, route_pb2.RouteConfiguration)


def test_a_rule_about_an_issuer_that_is_known_leaves_the_listener_as_it_is() -> None:
    before, after = configured(mesh(WEB)), configured(mesh(WEB, asking(deny("no", ports=(8080,)), CORP, ("a", ("b",)))))
    assert before.listeners[0].name == after.listeners[0].name == "inbound"
    assert route(before) != route(after)
    chains = [{c.name: c for c in listener(each).filter_chains if "8080" in c.name} for each in (before, after)]
    assert chains[0] == chains[1]


def test_another_key_changes_the_chains_that_speak_http_and_no_other() -> None:
    new = replace(CORP, jwks='{"keys":[1]}')
    before, after = (configured(mesh(asking(WEB), WEB, known=known)) for known in ((CORP,), (new,)))
    pairs = zip(listener(before).filter_chains, listener(after).filter_chains, strict=True)
    assert {one.name for one, other in pairs if one != other} == {"in|8080|mesh"}
    assert route(before) == route(after)


def test_tokens_are_looked_at_before_rules_and_only_where_rules_ask() -> None:
    asked, not_asked = configured(mesh(asking(WEB))), configured(mesh(WEB))
    found = filters(asked)["in|8080|mesh"]
    assert found == filters(not_asked)["in|8080|mesh"]
    assert found[:3] == [tokens.FILTER, "ringfence.deny", "ringfence.allow"]
    assert found[-1] == "envoy.filters.http.router"
    assert all(each.removeprefix("ringfence.").startswith(("limit", "audit-limit", "body")) for each in found[3:-2])
    assert tokens.FILTER in route(asked).typed_per_filter_config
    assert tokens.FILTER not in route(not_asked).typed_per_filter_config


def test_without_issuers_there_is_no_filter() -> None:
    config = configured(mesh(asking(WEB), known=()))
    assert tokens.FILTER not in filters(config)["in|8080|mesh"]
    assert tokens.FILTER not in route(config).typed_per_filter_config


def test_a_header_is_removed_where_an_enforced_rule_asks_for_it() -> None:
    assert list(route(configured(mesh(asking(WEB, PARTNER)))).request_headers_to_remove) == ["x-partner"]
    assert list(route(configured(mesh(asking(WEB)))).request_headers_to_remove) == []
    audited = mesh(asking(WEB, PARTNER), mode=Mode.AUDIT)
    assert tokens.FILTER in route(configured(audited)).typed_per_filter_config
    assert list(route(configured(audited)).request_headers_to_remove) == []


def test_nothing_is_fetched_nothing_is_taken_from_addresses_and_all_tokens_end() -> None:
    ahead = tokens.ahead({cluster_key("corp"): CORP})
    assert ahead is not None
    (made,) = ahead.filters
    provider = jwt.JwtAuthentication.FromString(made.typed_config.value).providers[cluster_key("corp")]
    assert provider.require_expiration
    assert provider.forward
    assert not provider.HasField("remote_jwks")
    assert [(each.name, each.value_prefix) for each in provider.from_headers] == [("authorization", "Bearer ")]
    assert not provider.from_params
    assert not provider.from_cookies
    assert list(provider.audiences) == ["pay"]


def test_a_class_is_made_anew_when_an_issuer_changes() -> None:
    one, other = mesh(WEB), mesh(WEB, known=(replace(CORP, jwks="{}"), PARTNER))
    pod = making.pod("db", containers=PORTS)
    footings = [envoy.footing(envoy.subject(pod, each), each) for each in (one, other)]
    assert footings[0] != footings[1]
    assert envoy.footing(envoy.subject(pod, one), one) == footings[0]
