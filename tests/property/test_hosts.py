"""Rules that name hosts, seen by all that answers about them."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.errors import CannotTell
from ringfence.model.resources import Protocol
from ringfence.model.world import World
from ringfence.policy import resolve
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, Host

from tests.property.worlds import OUTSIDE, about_hosts

ASKED = ("api.example.com", "a.example.com", "example.com", "a.b.example.com", "other.example")


@given(about_hosts(), st.sampled_from(ASKED), st.sampled_from((80, 8080, 9090)))
def test_who_may_call_a_name_finds_the_network_open_to_some_address(world: World, name: str, port: int) -> None:
    """The network never closes what the names allow: there is an address outside that is open."""
    effective = cache(lambda namespace: resolve.resolve(world, namespace))
    anywhere = [Address(ip) for ip in (*OUTSIDE, "8.8.8.8", "20.0.0.1", "2600::1")]
    for pod in (pod for pods in world.workloads.values() for pod in pods if not pod.host_network):
        try:
            named = decide(world, effective, pod, Host(name), Protocol.TCP, port).egress
        except CannotTell:
            continue
        if named.allowed:
            assert any(decide(world, effective, pod, each, Protocol.TCP, port).egress.allowed for each in anywhere)


@given(about_hosts(), st.sampled_from((80, 8080)))
def test_a_name_that_no_rule_has_is_open_by_network_alone(world: World, port: int) -> None:
    effective = cache(lambda namespace: resolve.resolve(world, namespace))
    for pod in (pod for pods in world.workloads.values() for pod in pods if not pod.host_network):
        policy = effective(pod.namespace)
        try:
            half = decide(world, effective, pod, Host("nobody.invalid"), Protocol.TCP, port).egress
        except CannotTell:
            continue
        if policy.closed and half.allowed:
            (rule,) = (r for r in policy.rules if r.ref == half.rule and r.direction == "egress")
            assert rule.others
