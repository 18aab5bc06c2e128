"""What `reach` says of all ports at once is what `decide` says of each."""

from functools import cache

from hypothesis import given
from hypothesis import strategies as st
from ringfence.model.effective import Direction
from ringfence.model.mesh import Mesh
from ringfence.model.resources import Protocol
from ringfence.model.spans import Spans
from ringfence.model.world import World
from ringfence.policy import reach
from ringfence.policy.decide import decide
from ringfence.policy.resolve import resolve

from tests.property import worlds

PORTS = (1, 53, 80, 100, 101, 5000, 8080, 9000, 9001, 9090, 65535)


@given(st.one_of(worlds.worlds(), worlds.about_requests()))
def test_ports_are_open_as_decide_says(world: World) -> None:
    effective = cache(lambda namespace: resolve(world, namespace))
    mesh = Mesh(world, effective)
    answers = reach.of(mesh)
    pods = [p for found in world.workloads.values() for p in found if not p.host_network]
    for source in pods:
        policy = effective(source.namespace)
        egress = reach.narrowed(policy, Direction.EGRESS, source.labels)
        candidates = set(answers.candidates(source))
        for target in (p for p in pods if p != source):
            key = answers.target_of[target.namespace, target.name]
            let_in = answers.let_in(source, key) if key in candidates else Spans()
            leave = reach.EVERY_PORT
            if policy.closed:
                leave = reach.open_ports(egress, Direction.EGRESS, source, target, mesh, names=key.ports)
            for port in PORTS:
                verdict = decide(world, effective, source, target, Protocol.TCP, port)
                one = Spans(((reach.PORT, port, port),))
                assert verdict.egress.allowed == (not (leave & one).empty), (source.name, target.name, port)
                assert verdict.ingress.allowed == (not (let_in & one).empty), (source.name, target.name, port)
