"""Tokens in Envoy's configuration: what travels with the listener, and what with the routes."""

from dataclasses import replace
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.common.matching.v3 import extension_matcher_pb2
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.http.set_metadata.v3 import set_metadata_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from ringfence.model.mesh import Mesh, ServicePort
from ringfence.model.proxy import ProxyConfig
from ringfence.model.requests import Requests
from ringfence.model.resources import Action, Mode, Rule, Traffic
from ringfence.model.tokens import Issuer, TokenMatch, cluster_key
from ringfence.model.traffic import Asks, By, Limit, Rate
from ringfence.translate import envoy
from ringfence.translate.envoy import good, messages, tokens
from ringfence.translate.envoy.remote_keys import Server

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
    marking = [f"ringfence.tokens.{cluster_key(each.name)}" for each in (CORP, PARTNER)]
    assert found[:5] == [tokens.FILTER, *marking, "ringfence.deny", "ringfence.allow"]
    assert found[-1] == "envoy.filters.http.router"
    assert all(each.removeprefix("ringfence.").startswith(("limit", "audit-limit", "body")) for each in found[5:-2])
    assert tokens.FILTER in route(asked).typed_per_filter_config
    assert tokens.FILTER not in route(not_asked).typed_per_filter_config


def limited(issuer: str, mode: Mode = Mode.ENFORCE) -> Mesh:
    """The same with a limit by a claim instead of a rule that asks for a token."""
    found = mesh(WEB)
    base = found.world.policies["shop"][0]
    limit = Limit(By.CLAIM, Rate(1, 60, 1), issuer=issuer, claim="o'hare\\")
    entry = Traffic("people", None, Asks(limits=(limit,)))
    written = replace(base, spec=replace(base.spec, traffic=(entry,), mode=mode))
    return making.mesh(replace(found.world, policies={**found.world.policies, "shop": (written,)}), SERVICES)


def test_a_limit_by_a_claim_looks_at_tokens_and_leaves_the_listener_as_it_is() -> None:
    before, after = configured(mesh(WEB)), configured(limited(cluster_key("corp")))
    assert listener(before) == listener(after)
    on = route(after).typed_per_filter_config
    assert tokens.FILTER in on
    assert b"['o\\'hare\\\\']" in on["ringfence.limit.0"].value
    assert tokens.FILTER in route(configured(limited(cluster_key("corp"), Mode.AUDIT))).typed_per_filter_config


def test_a_limit_by_a_claim_of_nobodys_issuer_counts_all_together() -> None:
    on = route(configured(limited(cluster_key("nobody")))).typed_per_filter_config
    assert tokens.FILTER not in on
    assert b"filter_metadata" not in on["ringfence.limit.0"].value


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
    made, _ = ahead.filters
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


FETCHED = replace(CORP, jwks="", jwks_uri="https://login.corp.example:8443/keys?v=1", ca_bundle="roots")


def test_keys_are_fetched_by_the_cluster_of_their_host_within_bounds() -> None:
    provider = provider_of(FETCHED)
    assert not provider.HasField("local_jwks")
    remote = provider.remote_jwks
    assert remote.http_uri.uri == FETCHED.jwks_uri
    assert remote.http_uri.cluster == Server.of(FETCHED).way
    assert (remote.http_uri.timeout.seconds, remote.cache_duration.seconds) == (5, 300)
    assert remote.async_fetch.fast_listener
    assert remote.async_fetch.failed_refetch_duration.seconds == 30
    assert provider.header_in_metadata


def provider_of(issuer: Issuer) -> Any:
    ahead = tokens.ahead({cluster_key("corp"): issuer})
    assert ahead is not None
    made, *_ = ahead.filters
    return jwt.JwtAuthentication.FromString(made.typed_config.value).providers[cluster_key("corp")]


def fetching(*rules: Rule, known: Issuer = FETCHED, **installation: Any) -> ProxyConfig:
    found = mesh(*rules, known=(known,))
    settings = replace(INSTALLATION, jwks_hosts=("login.corp.example",), **installation)
    return configured(making.mesh(replace(found.world, installation=settings), SERVICES))


def clusters(config: ProxyConfig) -> list[Any]:
    found = [each for each in config.clusters if each.name.startswith("keys|")]
    return [messages.unpacked(each, cluster_pb2.Cluster) for each in found]


def test_whoever_serves_keys_has_to_show_the_name_and_nobody_inside_is_called() -> None:
    (made,) = clusters(fetching(asking(WEB, FETCHED)))
    assert made.name == Server.of(FETCHED).cluster
    assert made.cluster_type.name == "envoy.cluster.dns"
    (place,) = made.load_assignment.endpoints[0].lb_endpoints
    at = place.endpoint.address.socket_address
    assert (at.address, at.port_value) == ("login.corp.example", 8443)
    context = tls_pb2.UpstreamTlsContext.FromString(made.transport_socket.typed_config.value)
    assert context.sni == "login.corp.example"
    validation = context.common_tls_context.validation_context
    assert validation.trusted_ca.inline_string == "roots"
    (name,) = validation.match_typed_subject_alt_names
    assert (name.san_type, name.matcher.exact) == (name.DNS, "login.corp.example")
    options = http_protocol_options_pb2.HttpProtocolOptions.FromString(
        made.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].value
    )
    judge, codec = options.http_filters
    assert (judge.name, codec.name) == ("envoy.filters.http.upstream_rbac", "envoy.filters.http.upstream_codec")
    text = str(http_rbac_pb2.RBAC.FromString(judge.typed_config.value).rules.policies["outside"])
    assert "upstream_ip_port" in text


def test_without_roots_of_its_own_those_of_the_image_count() -> None:
    known = replace(FETCHED, ca_bundle="")
    (made,) = clusters(fetching(asking(WEB, known), known=known))
    context = tls_pb2.UpstreamTlsContext.FromString(made.transport_socket.typed_config.value)
    assert context.common_tls_context.validation_context.trusted_ca.filename == "/etc/ssl/certs/ca-certificates.crt"


def test_nothing_is_fetched_where_no_rule_asks() -> None:
    config = fetching(WEB)
    assert clusters(config) == []
    assert tokens.FILTER not in filters(config)["in|8080|mesh"]


def test_other_roots_are_another_cluster_and_other_addresses_the_same() -> None:
    other = replace(FETCHED, ca_bundle="others")
    assert Server.of(FETCHED).cluster != Server.of(other).cluster
    (one,), (two,) = (clusters(fetching(asking(WEB, FETCHED), host_closed=cidr)) for cidr in ((), ("20.0.0.0/8",)))
    assert one.name == two.name
    assert one != two


def test_every_issuers_head_is_looked_at_and_rules_ask_for_the_mark_alone() -> None:
    for issuer in (CORP, FETCHED):
        assert provider_of(issuer).header_in_metadata == good.head(cluster_key("corp"))
        ahead = tokens.ahead({cluster_key("corp"): issuer})
        assert ahead is not None
        *others, made = ahead.filters
        # How long a signature is, is asked where nobody but the proxy has seen the key.
        assert [each.name for each in others] == [tokens.FILTER, *([good.SIGNATURES] if issuer.fetched else [])]
        assert made.name == f"{good.MARKS}.{cluster_key('corp')}"
        asked = made.typed_config.value
        assert b"RS256" in asked
        assert b"HS256" not in asked
        assert b"crit" in asked
    for action in Action:
        told = str(tokens.permission(TokenMatch(cluster_key("corp"), header="authorization"), action))
        assert f'filter: "{good.MARKS}"' in told
        assert '"alg"' not in told


def test_of_several_issuers_no_mark_takes_anothers_place() -> None:
    ahead = tokens.ahead({cluster_key("corp"): CORP, cluster_key("partner"): PARTNER})
    assert ahead is not None
    for each in ahead.filters[1:]:
        only = extension_matcher_pb2.ExtensionWithMatcher.FromString(each.typed_config.value)
        (mark,) = set_metadata_pb2.Config.FromString(only.extension_config.typed_config.value).metadata
        assert mark.allow_overwrite


def test_fetches_pass_a_listener_of_the_proxys_own_so_that_they_are_judged() -> None:
    config = fetching(asking(WEB, FETCHED))
    server = Server.of(FETCHED)
    (way,) = (messages.unpacked(c, cluster_pb2.Cluster) for c in config.clusters if c.name == server.way)
    (place,) = way.load_assignment.endpoints[0].lb_endpoints
    assert place.endpoint.address.pipe.path == server.socket
    assert not way.HasField("transport_socket")
    (found,) = (messages.unpacked(each, listener_pb2.Listener) for each in config.listeners if each.name == server.way)
    assert (found.address.pipe.path, found.address.pipe.mode) == (server.socket, 0o600)
    manager = hcm_pb2.HttpConnectionManager.FromString(found.filter_chains[0].filters[0].typed_config.value)
    (host,) = manager.route_config.virtual_hosts
    (only,) = host.routes
    assert only.route.cluster == server.cluster
    assert only.route.timeout.seconds == 5
    assert len(server.socket) < 108
