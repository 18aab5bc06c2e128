"""The least policies that allow what was seen, and nothing that was not, but for what is put in general."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from ringfence import api
from ringfence.flows import folding, suggesting, wanted, written
from ringfence.flows.flow import Flow, Party
from ringfence.flows.folding import Folded
from ringfence.flows.judge import Judge
from ringfence.flows.replay import Replay
from ringfence.flows.suggesting import SuggestedPolicy
from ringfence.flows.wanted import Wanted
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.requests import Request
from ringfence.model.resources import Protocol, SecurityPolicy
from ringfence.model.world import OpenService, World

from tests.unit.policy import making
from tests.unit.policy.making import effective, pod

PORTS = (ServicePort("http", 80, 8080), ServicePort("sql", 5432, 5432))
SERVICES = {
    name: tuple(
        ServiceValue(name, each, ports=PORTS, selector=(("ringfence.dev/identity", each),)) for each in ("db", "web")
    )
    for name in ("shop", "bank")
}
PODS = tuple(
    replace(pod(name, namespace), proxied=True) for namespace in ("shop", "bank") for name in ("db", "web", "api")
)
LEGACY = replace(pod("old", "lab"), labels={"app": "old"})
DNS = OpenService("dns", "lab", {"app": "dns"}, ((Protocol.UDP, 53),))
INSTALLATION = replace(making.INSTALLATION, proxies=True, open_services=(DNS,))


def world(*policies: SecurityPolicy, **rest: Any) -> World:
    dns = replace(pod("dns", "lab"), labels={"app": "dns"})
    return making.world(*policies, pods=(*PODS, LEGACY, dns), **{"installation": INSTALLATION, **rest})


def party(text: str) -> Party:
    if text.startswith("ip:"):
        ip, _, host = text.removeprefix("ip:").partition("=")
        return Party(ip=ip, host=host)
    if text.startswith("host:"):
        return Party(host=text.removeprefix("host:"))
    namespace, _, name = text.partition("/")
    return Party(namespace, name, named=True)


def flow(source: str, target: str, port: int, request: str = "", **rest: Any) -> Flow:
    method, _, path = request.partition(" ")
    sent = Request(method, path, "db.shop", {}, rest.pop("upgrade", "")) if request else None
    return Flow(party(source), party(target), rest.pop("protocol", Protocol.TCP), port, request=sent, **rest)


def collected(flows: Iterable[Flow], known: World | None = None, *, denied: bool = False) -> Wanted:
    known = known or world()
    found = Wanted(Judge(known, effective(known), SERVICES, {}), denied)
    for each in flows:
        found.add(each)
    return found


def suggested(found: Wanted) -> list[SuggestedPolicy]:
    return suggesting.suggest(found.wants, lambda _: False)


def policies(flows: Iterable[Flow], **rest: Any) -> dict[str, Any]:
    """What is suggested, by namespace and name, in the form in which it is written."""
    made = [written.policy(each) for each in suggested(collected(flows, **rest))]
    return {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each["spec"] for each in made}


def replayed(flows: Iterable[Flow], made: Iterable[SuggestedPolicy]) -> Replay:
    parsed = [api.parse(written.policy(each)) for each in made]
    known = world(*(each for each in parsed if isinstance(each, SecurityPolicy)))
    found = Replay(Judge(known, effective(known), SERVICES, {}))
    for each in flows:
        found.add(each)
    return found


WEB = {"identity": {"namespace": "shop", "name": "web"}}
API = {"identity": {"namespace": "shop", "name": "api"}}


def test_a_connection() -> None:
    assert policies([flow("shop/web", "shop/db", 5432)]) == {
        "shop/db": {
            "appliesTo": {"identities": ["db"]},
            "ingress": [{"name": "web-5432", "from": [WEB], "ports": [5432]}],
        }
    }


def test_requests_by_method_and_path() -> None:
    asked = ["GET /a", "POST /a", "GET /b", "GET /orders/1", "GET /orders/2?x=1", "DELETE /c"]
    (rule,) = policies(flow("shop/web", "shop/db", 8080, each) for each in asked)["shop/db"]["ingress"]
    assert rule == {
        "name": "web-8080",
        "from": [WEB],
        "ports": [8080],
        "http": [
            {"methods": ["DELETE"], "paths": ["/c"]},
            {"methods": ["GET"], "paths": ["/b", "/orders/{*}"]},
            {"methods": ["GET", "POST"], "paths": ["/a"]},
        ],
    }


def test_callers_that_do_the_same_share_a_rule_and_others_do_not() -> None:
    flows = [flow(f"shop/{each}", "shop/db", 8080, "GET /a") for each in ("web", "api")]
    (rule,) = policies(flows)["shop/db"]["ingress"]
    assert (rule["name"], rule["from"]) == ("several-8080", [API, WEB])
    two = policies([*flows, flow("shop/web", "shop/db", 8080, "GET /b")])["shop/db"]["ingress"]
    assert [each["from"] for each in two] == [[API], [WEB]]


def test_what_was_denied_is_left_out_unless_one_asks() -> None:
    flows = [flow("shop/web", "shop/db", 5432, denied=True)]
    assert policies(flows) == {}
    assert "shop/db" in policies(flows, denied=True)


def test_ports_that_carry_bytes_have_no_requests() -> None:
    (rule,) = policies([flow("shop/web", "shop/db", 5432, "GET /a")])["shop/db"]["ingress"]
    assert "http" not in rule


def test_where_no_proxy_judges_there_are_no_requests() -> None:
    bare = world(installation=replace(INSTALLATION, proxies=False))
    (rule,) = policies([flow("shop/web", "shop/db", 8080, "GET /a")], known=bare)["shop/db"]["ingress"]
    assert "http" not in rule


def test_udp() -> None:
    (rule,) = policies([flow("shop/web", "shop/db", 5353, protocol=Protocol.UDP)])["shop/db"]["ingress"]
    assert rule["ports"] == [{"port": 5353, "protocol": "UDP"}]


def test_websockets() -> None:
    (rule,) = policies([flow("shop/web", "shop/db", 8080, "GET /live", upgrade="websocket")])["shop/db"]["ingress"]
    assert rule["http"] == [{"methods": ["GET"], "paths": ["/live"], "upgrades": ["websocket"]}]


def test_pods_that_are_not_enrolled_are_named_by_their_namespace() -> None:
    (rule,) = policies([flow("lab/old", "shop/db", 5432, plaintext=True)])["shop/db"]["ingress"]
    assert (rule["name"], rule["from"]) == ("lab-5432", [{"namespace": "lab"}])


def test_the_api_server() -> None:
    (rule,) = policies([flow("ip:192.168.0.1", "shop/db", 5432, plaintext=True)])["shop/db"]["ingress"]
    assert rule["from"] == [{"apiServer": True}]


def test_identities_in_plaintext_make_it_permissive() -> None:
    spec = policies([flow("shop/web", "shop/db", 5432, plaintext=True)])["shop/db"]
    assert spec["transport"] == {"mtls": "Permissive"}
    assert "transport" not in policies([flow("ip:198.51.100.7", "shop/db", 5432, plaintext=True)])["shop/db"]


def test_few_addresses_are_named_and_many_are_anyone() -> None:
    def calls(count: int) -> list[Flow]:
        return [flow(f"ip:198.51.100.{n}", "shop/db", 8080, f"GET /p{n % 3}", plaintext=True) for n in range(count)]

    few = policies(calls(wanted.ADDRESSES))["shop/db"]["ingress"]
    assert sum(len(rule["from"]) for rule in few) == wanted.ADDRESSES
    (rule,) = policies(calls(wanted.ADDRESSES + 1))["shop/db"]["ingress"]
    assert rule["from"] == [{"anonymous": True}]
    assert rule["http"] == [{"methods": ["GET"], "paths": ["/p0", "/p1", "/p2"]}]
    policies_of_many = collected(calls(200))
    assert len(policies_of_many.wants) == 1
    (want,) = policies_of_many.wants.values()
    assert want.seen.count == 200


def test_who_calls_outside_lists_all_that_it_calls() -> None:
    flows = [
        flow("shop/web", "ip:203.0.113.9", 443),
        flow("shop/web", "shop/db", 5432),
        flow("shop/api", "shop/db", 5432),
    ]
    found = policies(flows)
    assert set(found) == {"shop/db", "shop/web"}
    assert found["shop/web"]["egress"] == [
        {"name": "addresses-443", "to": [{"cidr": "203.0.113.9/32"}], "ports": [443]},
        {"name": "db-5432", "to": [{"identity": {"namespace": "shop", "name": "db"}}], "ports": [5432]},
    ]


def test_where_another_policy_lists_egress_inside_calls_are_listed_too() -> None:
    found = collected([flow("shop/web", "shop/db", 5432)])
    (db, web) = suggesting.suggest(found.wants, lambda identity: identity.name == "web")
    assert (db.identity.name, db.egress, web.ingress) == ("db", None, ())
    assert [rule.name for rule in web.egress or ()] == ["db-5432"]


def test_who_calls_too_many_addresses_is_told_so() -> None:
    many = [flow("shop/web", f"ip:2001:db8::{n:x}", 443) for n in range(1, wanted.CALLED + 3)]
    found = collected([*many, many[0]])
    assert dict(found.left_out) == {"shop/web calls more than 256 addresses on port 443": 2}
    assert len(found.wants) == wanted.CALLED
    assert replayed(many[: wanted.CALLED], suggested(found)).allowed.count == wanted.CALLED


def test_hosts_that_were_called_by_name_are_named() -> None:
    flows = [
        flow("shop/web", "ip:1.2.3.4=api.bank.example", 443),
        flow("shop/web", "ip:1.2.3.5=api.bank.example", 443),
        flow("shop/web", "host:b.example", 443),
        flow("shop/web", "ip:1.2.3.6", 443),
        # Where no rule may name it, or no proxy would take a name to that address, the address stands for it.
        flow("shop/web", "ip:1.2.3.7=db.internal", 443),
        flow("shop/web", "ip:192.168.7.7=files.corp.example", 443),
    ]
    found = collected(flows)
    (made,) = suggested(found)
    assert written.policy(made)["spec"]["egress"] == [
        {
            "name": "addresses-443",
            "to": [{"cidr": "1.2.3.6/32"}, {"cidr": "1.2.3.7/32"}, {"cidr": "192.168.7.7/32"}],
            "ports": [443],
        },
        {"name": "hosts-443", "to": [{"host": "api.bank.example"}, {"host": "b.example"}], "ports": [443]},
    ]
    after = replayed(flows, [made])
    assert (after.allowed.count, len(after.broken), len(after.unknown)) == (6, 0, 0)
    (alone,) = suggested(collected(flows[:1]))
    assert [rule.name for rule in alone.egress or ()] == ["api-bank-example-443"]


def test_where_no_proxy_tells_names_apart_addresses_are_written() -> None:
    bare = world(installation=replace(INSTALLATION, proxies=False))
    (rule,) = policies([flow("shop/web", "ip:1.2.3.4=api.bank.example", 443)], known=bare)["shop/web"]["egress"]
    assert rule["to"] == [{"cidr": "1.2.3.4/32"}]
    found = collected([flow("shop/web", "host:api.bank.example", 443)], bare)
    assert list(found.left_out) == [
        "host api.bank.example: no rule can name it for its callers, and the record has no address"
    ]


def test_what_is_always_open_needs_no_rule() -> None:
    assert policies([flow("shop/web", "lab/dns", 53, protocol=Protocol.UDP)]) == {}


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (flow("shop/web", "shop/db", 8080, "GET /a;x=1"), "shop/web -> shop/db TCP 8080: GET /a;x=1: no rule"),
        (flow("shop/web", "shop/db", 8080, "CONNECT /", upgrade="foo"), "no rule can name such a request"),
        (flow("shop/web", "shop/db", 8080, "get /"), "shop/web -> shop/db TCP 8080: get /: no rule"),
        (flow("shop/web", "shop/db", 8080, "GET /", upgrade="foo"), "no rule can name such a request"),
        (flow("shop/ghost", "shop/db", 8080), "shop/ghost: there is neither"),
        (flow("ip:10.244.9.9", "shop/db", 8080), "address 10.244.9.9: it is a pod's"),
    ],
)
def test_what_no_rule_can_allow_is_told(made: Flow, why: str) -> None:
    found = collected([made])
    assert not found.wants
    assert why in next(iter(found.left_out))


def test_a_tunnel_is_named_in_an_entry_of_its_own() -> None:
    flows = [flow("shop/web", "shop/db", 8080, sent) for sent in ("CONNECT /", "GET /a")]
    (rule,) = policies(flows)["shop/db"]["ingress"]
    assert rule["http"] == [{"methods": ["CONNECT"]}, {"methods": ["GET"], "paths": ["/a"]}]


def test_a_pod_without_an_identity_of_its_own_is_told() -> None:
    stray = replace(pod("stray"), proxied=True)
    known = making.world(pods=(*PODS, stray), installation=INSTALLATION)
    found = collected([flow("shop/stray", "shop/db", 5432)], known)
    assert "shop/stray: its ServiceAccount has no ServiceIdentity" in next(iter(found.left_out))


def test_long_lists_are_taken_apart() -> None:
    names = [f"i{number}" for number in range(150)]
    identities = tuple(making.identity("shop", name) for name in names)
    known = world(identities=identities)
    flows = [flow(f"shop/{name}", "shop/db", 5432) for name in names]
    flows += [flow("shop/web", "shop/db", port) for port in range(1, 200)]
    made = suggested(collected(flows, known))
    assert len(made) == 3
    assert all(api.parse(written.policy(each)) for each in made)
    assert max(len(rule.peers) for each in made for rule in each.ingress) == 64


def test_many_requests_are_taken_apart() -> None:
    letters = [a + b for a in "abcdefghij" for b in "abcdefghij"]
    flows = [flow("shop/web", "shop/db", 8080, f"GET /{each[0]}/{each}") for each in letters]
    flows += [flow("shop/web", "shop/db", 8080, f"{'ABCDEFGHIJKLMNOPQRST'[n]}X /m{n}") for n in range(20)]
    made = suggested(collected(flows))
    assert not replayed(flows, made).broken
    assert all(len(rule.matches) <= 16 for each in made for rule in each.ingress)


# --- folding ---------------------------------------------------------------------------------------------------------


def folded(paths: Iterable[str]) -> tuple[str, ...] | None:
    found = Folded()
    for path in paths:
        found.add(path.split("/"))
    return found.patterns()


def test_few_names_stay_and_many_are_any() -> None:
    assert folded(f"/u/n{number}" for number in range(folding.NAMES)) == tuple(
        sorted(f"/u/n{number}" for number in range(folding.NAMES))
    )
    assert folded(f"/u/n{number}" for number in range(folding.NAMES + 1)) == ("/u/{*}",)


def test_what_stands_below_many_names_is_kept_together() -> None:
    paths = [f"/u/n{number}/{'a' if number % 2 else 'b'}" for number in range(50)]
    assert folded([*paths, "/u", "/u/", "/x"]) == ("/u", "/u/", "/u/{*}/a", "/u/{*}/b", "/x")


def test_a_path_that_another_pattern_names_goes() -> None:
    assert folded(["/u/me", "/u/{*}", "/u/{*}/a", "/u/"]) == ("/u/", "/u/{*}", "/u/{*}/a")


def test_too_many_patterns_are_any_path() -> None:
    assert folded(f"/{a}/{b}" for a in "abcdefghijkl" for b in "abcdefghijkl") is None
    deep = (f"/{a}/{b}/{c}/{d}" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh" for d in "abcdefgh")
    found = Folded()
    for path in deep:
        found.add(path.split("/"))
    assert found.patterns() is None
    assert not found.children
