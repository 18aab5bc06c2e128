"""The compiled NetworkPolicies allow what ``decide`` allows and nothing else; two independent judges say so."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from ringfence.model.world import World

from e2e.judge.client import Judge, Pod, Port, Traffic
from e2e.judge.client import Protocol as JudgeProtocol
from tests.property.judging import Answer, Question, compiled, decided, differences, evaluated, key, questions
from tests.property.worlds import worlds


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """One process for all questions."""
    with Judge() as running:
        yield running


def judged(judge: Judge, world: World, asked: list[Question]) -> list[Answer]:
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
    traffic = [Traffic(key(a), key(b), port, JudgeProtocol(protocol.value)) for a, b, protocol, port in asked]
    found = judge.verdicts({n: ns.labels for n, ns in world.namespaces.items()}, pods, compiled(world), traffic)
    return [(verdict.ingress, verdict.egress) for verdict in found]


@given(worlds())
def test_cyclonus_finds_what_decide_says(judge: Judge, world: World) -> None:
    asked = questions(world)
    assert differences(asked, decided(world, asked), judged(judge, world, asked)) == []


@given(worlds())
def test_our_own_evaluator_finds_what_decide_says(world: World) -> None:
    asked = questions(world)
    assert differences(asked, decided(world, asked), evaluated(world, asked)) == []
