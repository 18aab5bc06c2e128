"""The compiled NetworkPolicies allow what ``decide`` allows and nothing else; two independent judges say so."""

from collections.abc import Iterator
from functools import cache
from itertools import product

import pytest
from hypothesis import given
from ringfence.model.resources import Protocol
from ringfence.model.world import Workload, World
from ringfence.policy import decide, resolve
from ringfence.policy.ends import Address, End
from ringfence.translate import network_policy

from e2e.judge.client import Judge, Pod, Port, Traffic
from e2e.judge.client import Protocol as JudgeProtocol
from tests.property.evaluator import Evaluator
from tests.property.worlds import OUTSIDE, PORTS, worlds

Question = tuple[End, End, Protocol, int]


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """One process for all questions."""
    with Judge() as running:
        yield running


def compiled(world: World) -> list[dict[str, object]]:
    """Every NetworkPolicy of the world."""
    return [o for n in world.namespaces for o in network_policy.objects(resolve.resolve(world, n), world.installation)]


def questions(world: World) -> list[Question]:
    """From every end to every other on every port; from outside to outside is nobody's business."""
    pods: list[End] = [pod for name in sorted(world.workloads) for pod in world.workloads[name]]
    ends = [*pods, *(Address(ip) for ip in OUTSIDE)]
    pairs = [(a, b) for a, b in product(ends, ends) if a != b and isinstance(a if a in pods else b, Workload)]
    return [(a, b, protocol, port) for a, b in pairs for protocol, port in PORTS]


def answers(world: World, asked: list[Question]) -> list[tuple[bool, bool]]:
    """What ``decide`` says: (ingress, egress)."""
    effective = cache(lambda namespace: resolve.resolve(world, namespace))
    verdicts = [decide.decide(world, effective, *question) for question in asked]
    return [(verdict.ingress.allowed, verdict.egress.allowed) for verdict in verdicts]


def _key(end: End) -> str:
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def judged(judge: Judge, world: World, asked: list[Question]) -> list[tuple[bool, bool]]:
    """What cyclonus says of the compiled policies."""
    pods = [
        Pod(
            pod.namespace,
            pod.name,
            pod.labels,
            pod.ips[0],
            tuple(Port(p.port, JudgeProtocol(p.protocol.value), p.name) for p in pod.ports),
            pod.host_network,
        )
        for members in world.workloads.values()
        for pod in members
    ]
    traffic = [Traffic(_key(a), _key(b), port, JudgeProtocol(protocol.value)) for a, b, protocol, port in asked]
    found = judge.verdicts({n: ns.labels for n, ns in world.namespaces.items()}, pods, compiled(world), traffic)
    return [(verdict.ingress, verdict.egress) for verdict in found]


def differences(asked: list[Question], left: list[tuple[bool, bool]], right: list[tuple[bool, bool]]) -> list[str]:
    """The questions on which two judges differ, for people."""
    return [
        f"{_key(a)} -> {_key(b)} {protocol} {port}: (ingress, egress) {one} against {other}"
        for (a, b, protocol, port), one, other in zip(asked, left, right, strict=True)
        if one != other
    ]


@given(worlds())
def test_cyclonus_finds_what_decide_says(judge: Judge, world: World) -> None:
    asked = questions(world)
    assert differences(asked, answers(world, asked), judged(judge, world, asked)) == []


@given(worlds())
def test_our_own_evaluator_finds_what_decide_says(world: World) -> None:
    evaluator = Evaluator(world.namespaces, compiled(world))
    asked = questions(world)
    found = [
        (
            evaluator.half("ingress", target, source, target, (protocol.value, port)),
            evaluator.half("egress", source, target, target, (protocol.value, port)),
        )
        for source, target, protocol, port in asked
    ]
    assert differences(asked, answers(world, asked), found) == []
