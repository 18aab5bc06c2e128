"""What holds of requests in every world."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.requests import Asked, Opaque, Request
from ringfence.model.resources import Protocol
from ringfence.model.world import World
from ringfence.policy.decide import decide
from ringfence.policy.resolve import resolve

from tests.property import worlds

SENT: tuple[Asked, ...] = (
    Opaque(),
    Request("GET", "/a/b"),
    Request("GET", "/a/../b"),
    Request("POST", "/c", headers={"x-env": ("prod",)}),
    Request("GET", "/a//b"),
    Request("GET", "/%00"),
)


@given(worlds.about_requests(), st.sampled_from((80, 8080, 9090)), st.booleans())
def test_what_may_be_sent_may_be_connected(world: World, port: int, plaintext: bool) -> None:
    """So the network, which answers for the connection, closes nothing that a proxy would let through."""
    effective = cache(lambda namespace: resolve(world, namespace))
    pods = [p for found in world.workloads.values() for p in found if not p.host_network]
    for source in pods:
        for target in (p for p in pods if p != source):
            connected = decide(world, effective, source, target, Protocol.TCP, port, plaintext=plaintext)
            for sent in SENT:
                verdict = decide(
                    world, effective, source, target, Protocol.TCP, port, plaintext=plaintext, request=sent
                )
                assert verdict.egress == connected.egress
                assert connected.ingress.allowed or not verdict.ingress.allowed, (sent, verdict)


@given(worlds.about_requests())
def test_rules_about_requests_open_nothing_where_nobody_judges(world: World) -> None:
    for namespace in world.namespaces:
        policy = resolve(world, namespace)
        unproxied = [p for p in world.workloads.get(namespace, ()) if not p.proxied and not p.host_network]
        for rule in policy.rules:
            governed = [p for p in unproxied if rule.subject.matches(p.labels)]
            if rule.requests is not None and (governed or not world.installation.proxies):
                assert rule.suspended_by is not None
                assert rule.suspended_in_audit is not None
