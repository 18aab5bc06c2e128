"""The compiled NetworkPolicies allow what ``decide`` allows and nothing else; two independent judges say so."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from ringfence.model.world import World

from e2e.judge.client import Judge, Pod, Port, Traffic
from e2e.judge.client import Protocol as JudgeProtocol
from tests.property.judging import Answer, Question, compiled, decided, differences, evaluated, key, questions
from tests.property.worlds import about_hosts, about_requests, worlds
from tests.unit.policy import making


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


@given(about_requests())
def test_a_port_is_open_where_some_request_may_pass(judge: Judge, world: World) -> None:
    asked = questions(world)
    decisions = decided(world, asked)
    assert differences(asked, decisions, evaluated(world, asked)) == []
    assert differences(asked, decisions, judged(judge, world, asked)) == []


@given(about_hosts())
def test_an_address_is_open_where_some_host_may_be_called(judge: Judge, world: World) -> None:
    asked = questions(world)
    decisions = decided(world, asked)
    assert differences(asked, decisions, evaluated(world, asked)) == []
    assert differences(asked, decisions, judged(judge, world, asked)) == []


def test_both_judges_notice_a_forgotten_deny(judge: Judge) -> None:
    rules = (making.allow("any"), making.deny("no", making.caller("web")))
    pods = tuple(making.pod(name, ip=f"10.244.0.{number}") for number, name in enumerate(("web", "api", "db"), start=1))
    meant, forgotten = (making.world(making.policy(ingress=some), pods=pods) for some in (rules, rules[:1]))
    asked = questions(meant)
    decisions = decided(meant, asked)
    for found in (judged(judge, forgotten, asked), evaluated(forgotten, asked)):
        wrong = differences(asked, decisions, found)
        assert wrong
        assert all(line.startswith("shop/web -> ") for line in wrong)
    assert differences(asked, decisions, judged(judge, meant, asked)) == []
