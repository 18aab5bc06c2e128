"""Two pods with the redirect of `node` and real Envoys, one calling the other with every kind of traffic, by both
families: what scenarios see on a node (e2e/scenarios/test_proxy_traffic.py), without one.
"""

from collections.abc import Iterator

import pytest
from ringfence.model.mesh import EndpointValue, Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.world import Installation, Workload

from e2e.traffic.__main__ import FRAMES, LINES, STREAMS, WEB
from e2e.traffic.place import REFUSED
from tests.component import pair_rig
from tests.component.pair_rig import SERVICE4, SERVICE6, Pair
from tests.component.redirect_rig import PEER4, PEER6, POD4, POD6
from tests.unit.policy import making as policies
from tests.unit.policy.making import allow, caller, policy
from tests.unit.translate.envoy import making

pytestmark = pytest.mark.component

PORTS = (
    ServicePort("http", 80, WEB),
    ServicePort("http2-frames", 81, FRAMES),
    ServicePort("calls", 82, STREAMS, app_protocol="grpc"),
    ServicePort("tcp-lines", LINES, LINES),
)
OWN = (WEB, FRAMES, STREAMS, LINES)
#: What is asked, on which port of the Service and of the pod, and what it comes to.
KINDS = (
    ("kept", 80, WEB, "200"),
    ("websocket", 80, WEB, "101"),
    ("frames", 81, FRAMES, "200"),
    ("streams", 82, STREAMS, "OK"),
    ("lines", LINES, LINES, "greeted"),
)
MEGABYTES = 256
MOST = 24 << 20
BY = {"IPv4": (SERVICE4, POD4), "IPv6": (SERVICE6, POD6)}


def _workload(name: str, four: str, six: str) -> Workload:
    return Workload(namespace="shop", name=name, service_account=name, labels={LABEL_IDENTITY: name}, ips=(four, six))


def _mesh() -> Mesh:
    """friend and the server itself may call server; both have both families."""
    pods = (_workload("server", POD4, POD6), _workload("friend", PEER4, PEER6))
    known = policies.world(
        policy(ingress=(allow("friends", caller("friend"), caller("server")),)),
        pods=pods,
        identities=tuple(policies.identity("shop", each.name) for each in pods),
        installation=Installation(pod_cidrs=("10.9.0.0/24", "fd09::/64"), open_services=()),
    )
    service = ServiceValue("shop", "server", (SERVICE4, SERVICE6), PORTS, ((LABEL_IDENTITY, "server"),))
    told = tuple(EndpointValue("server", each) for each in (POD4, POD6))
    return making.mesh(known, {"shop": (service,)}, {("shop", "server"): told})


@pytest.fixture(scope="module")
def bare() -> Iterator[Pair]:
    """The pods with redirects and the server's program; nobody has a proxy yet."""
    with pair_rig.pair() as made, pair_rig.serving(made.wire.pod, WEB, "-m", "e2e.traffic", "serve"):
        yield made


@pytest.fixture(scope="module")
def pair(bare: Pair, request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both with their proxies; the caller's has the friend's configuration and shows the certificate of ``param``."""
    known = _mesh()
    with (
        bare.proxied(bare.wire.pod, known, "server", OWN),
        bare.proxied(bare.wire.peer, known, "friend", shown=request.param),
    ):
        yield bare


FRIEND = pytest.mark.parametrize("pair", ["friend"], indirect=True)
STRANGER = pytest.mark.parametrize("pair", ["stranger"], indirect=True)


@FRIEND
@pytest.mark.parametrize("family", list(BY))
@pytest.mark.parametrize(("kind", "port", "own", "outcome"), KINDS)
def test_every_kind_of_traffic_gets_there(
    pair: Pair, family: str, kind: str, port: int, own: int, outcome: str
) -> None:
    service, pod = BY[family]
    for host, number in ((service, port), (pod, own)):
        found = pair.ask(pair.wire.peer, kind, host, number)
        assert found["outcome"] == outcome, (host, found)
        if kind == "kept":
            assert (found["taken"], found["trailers"]) == ("11", {"x-sum": "abc"})
        if kind == "frames":
            assert found["whole"] == 20


@FRIEND
@pytest.mark.parametrize("family", list(BY))
def test_a_pod_calls_itself_through_both_of_its_sides(pair: Pair, family: str) -> None:
    service, pod = BY[family]
    for host, port in ((service, 80), (pod, WEB)):
        found = pair.ask(pair.wire.pod, "web", host, port)
        assert "spiffe://cluster.local/ns/shop/sa/server" in found["said"]["from"], (host, found)


@FRIEND
@pytest.mark.parametrize(("port", "what"), [(80, "HTTP"), (WEB, "bytes")])
def test_large_bodies_take_no_memory(pair: Pair, port: int, what: str) -> None:
    host = SERVICE4 if port == 80 else POD4
    before = {each: pair.memory(each) for each in pair.proxies}
    found = pair.ask(pair.wire.peer, "large", host, port, f"--size={MEGABYTES << 20}")
    assert (found["outcome"], found["up"], found["down"]) == ("200", MEGABYTES << 20, MEGABYTES << 20)
    after = {each: pair.memory(each) for each in pair.proxies}
    grown = {each: after[each].grown(then) for each, then in before.items()}
    assert max(grown.values()) < MOST, (what, before, after)


@STRANGER
@pytest.mark.parametrize(("kind", "port", "own", "outcome"), KINDS)
def test_a_stranger_gets_nowhere_even_with_the_friends_configuration(
    pair: Pair, kind: str, port: int, own: int, outcome: str
) -> None:
    del outcome
    for host, number in ((SERVICE4, port), (POD6, own)):
        assert pair.ask(pair.wire.peer, kind, host, number)["outcome"] in REFUSED, host
