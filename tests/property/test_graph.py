"""A graph shows what `decide` allows between any two, and nothing else; grouping edges changes no answer."""

from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.effective import Direction
from ringfence.model.spans import Spans
from ringfence.model.world import Workload, World
from ringfence.policy.graph import collapse
from ringfence.policy.graph.draw import drawn
from ringfence.policy.graph.join import groups, joined, without_anyone
from ringfence.policy.graph.model import ANYONE, By, Change, Node
from ringfence.policy.graph.open import Calls, Open
from ringfence.policy.proof.ports import NO_PORT
from ringfence.policy.resolve import resolve

from tests.property import worlds
from tests.property.test_proofs import PORTS, half, judged, one


def key_of(nodes: dict[str, Node], pod: Workload) -> str:
    """The node of a pod of a closed namespace."""
    for name in (pod.service_account, "(no identity)"):
        if f"{pod.namespace}/{name}" in nodes:
            return f"{pod.namespace}/{name}"
    raise AssertionError(pod)


def ports(calls: Calls, source: str, target: str) -> Spans:
    return calls[source, target].ports if (source, target) in calls else NO_PORT


@settings(max_examples=25)
@given(worlds.worlds())
def test_an_edge_is_what_decide_allows(world: World) -> None:
    effective = cache(lambda namespace: resolve(world, namespace))
    nodes, calls = drawn(world, effective)
    pods = [p for name in worlds.NAMESPACES for p in world.workloads[name] if not p.host_network]
    # Two pods may be one node: those of a ServiceAccount that is no identity.
    for source in pods:
        for target in pods:
            ends = key_of(nodes, source), key_of(nodes, target)
            if ends[0] == ends[1]:
                continue
            for protocol, port in PORTS:
                answer = judged(world, effective, source, target, protocol, port)
                lets_in = half(world, effective, Direction.INGRESS, (target, source), (protocol, port))
                may_call = half(world, effective, Direction.EGRESS, (source, target), (protocol, port))
                own = not (ports(calls, *ends) & one(protocol, port)).empty
                anyone = not (ports(calls, ANYONE, ends[1]) & one(protocol, port)).empty
                assert lets_in is True or not anyone
                assert (own or (anyone and may_call is not False)) == (answer is not False), (ends, protocol, port)


def spread(calls: Calls, nodes: dict[str, Node], by: By) -> Calls:
    """The calls with every group written out again."""
    members = dict(groups(nodes, by))
    found: Calls = {}
    for (source, target), open_ in calls.items():
        for caller in members.get(source, {source}):
            for called in members.get(target, {target}):
                if caller != called:
                    before = found.get((caller, called), Open())
                    found[caller, called] = before | open_
    return found


@given(worlds.worlds(), st.sampled_from(list(By)))
def test_grouping_says_the_same(world: World, by: By) -> None:
    effective = cache(lambda namespace: resolve(world, namespace))
    nodes, calls = drawn(world, effective)
    again = spread(joined(calls, groups(nodes, By.IDENTITY)), nodes, By.IDENTITY)
    assert {e: (o.ports, o.names) for e, o in again.items()} == {
        e: (o.ports, o.names) for e, o in without_anyone(calls).items()
    }
    graph = collapse.of(world, effective, by)
    keys = {node.key for node in graph.nodes}
    assert all(edge.ports for edge in graph.edges)
    assert len(keys) == len(graph.nodes)
    assert all(end in keys or ":" in end for edge in graph.edges for end in (edge.source, edge.target))


@given(worlds.worlds(), worlds.worlds())
def test_what_has_changed_is_what_one_has_and_the_other_has_not(old: World, new: World) -> None:
    before, after = ((world, cache(lambda name, world=world: resolve(world, name))) for world in (old, new))
    graph = collapse.of(*before, By.IDENTITY)
    alike = collapse.changed(before, before, By.IDENTITY)
    assert (graph.nodes, [replace(edge, count=1) for edge in graph.edges]) == (
        alike.nodes,
        [replace(edge, count=1) for edge in alike.edges],
    )
    there, back = collapse.changed(before, after, By.IDENTITY), collapse.changed(after, before, By.IDENTITY)
    for mine, theirs in ((Change.ADDED, Change.REMOVED), (Change.REMOVED, Change.ADDED)):
        assert {(e.source, e.target, e.ports) for e in there.edges if e.change is mine} == {
            (e.source, e.target, e.ports) for e in back.edges if e.change is theirs
        }
