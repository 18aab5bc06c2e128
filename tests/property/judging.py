"""What the property tests share: questions, the compiled policies, and answers by the plain evaluator."""

import random
import sys
from collections.abc import Mapping
from functools import cache
from itertools import product
from typing import Any

from ringfence.model.errors import CannotTell
from ringfence.model.resources import Protocol
from ringfence.model.world import Workload, World
from ringfence.policy import decide, resolve
from ringfence.policy.ends import Address, End
from ringfence.translate import network_policy

from tests.property.evaluator import Evaluator
from tests.property.worlds import OUTSIDE, PORTS

Question = tuple[End, End, Protocol, int]
#: (ingress, egress)
Answer = tuple[bool, bool]


def compiled(world: World) -> list[Mapping[str, Any]]:
    """Every NetworkPolicy of the world."""
    return [o for n in world.namespaces for o in network_policy.objects(resolve.resolve(world, n), world.installation)]


def forget() -> None:
    """Whatever the compiler has kept of what it computed before, wherever it keeps it."""
    found = [
        value
        for name, module in list(sys.modules.items())
        if name.startswith(("ringfence.model.", "ringfence.policy.", "ringfence.translate."))
        for value in vars(module).values()
        if hasattr(value, "cache_clear") and not isinstance(value, type)
    ]
    assert len(found) > 10
    for memory in found:
        memory.cache_clear()


def questions(world: World) -> list[Question]:
    """From every end to every other on every port; from outside to outside is nobody's business."""
    pods: list[End] = [pod for name in sorted(world.workloads) for pod in world.workloads[name]]
    ends = [*pods, *(Address(ip) for ip in OUTSIDE)]
    pairs = [(a, b) for a, b in product(ends, ends) if a is not b and Workload in (type(a), type(b))]
    return [(a, b, protocol, port) for a, b in pairs for protocol, port in PORTS]


def telling(world: World, dice: random.Random, count: int) -> list[Question]:
    """Some questions, most of them such that a rule has a say: drawn at random, most calls are denied by default."""
    effective = cache(lambda namespace: resolve.resolve(world, namespace))
    asked = questions(world)
    dice.shuffle(asked)
    found: list[Question] = []
    for question in asked[: 4 * count]:
        try:
            verdict = decide.decide(world, effective, *question)
        except CannotTell:
            found.append(question)
            continue
        if verdict.ingress.rule is not None or verdict.egress.rule is not None:
            found.append(question)
    most = found[: count * 4 // 5]
    return most + asked[4 * count :][: count - len(most)]


def decided(world: World, asked: list[Question]) -> list[Answer]:
    """What ``decide`` says."""
    effective = cache(lambda namespace: resolve.resolve(world, namespace))
    verdicts = [decide.decide(world, effective, *question) for question in asked]
    return [(verdict.ingress.allowed, verdict.egress.allowed) for verdict in verdicts]


def evaluated(world: World, asked: list[Question]) -> list[Answer]:
    """What the plain evaluator finds in the compiled policies."""
    evaluator = Evaluator(world.namespaces, compiled(world))
    return [
        (
            evaluator.half("ingress", target, source, target, (protocol.value, port)),
            evaluator.half("egress", source, target, target, (protocol.value, port)),
        )
        for source, target, protocol, port in asked
    ]


def key(end: End) -> str:
    """An end in a word."""
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def show(question: Question) -> str:
    """A question for people."""
    source, target, protocol, port = question
    return f"{key(source)} -> {key(target)} {protocol} {port}"


def differences(asked: list[Question], left: list[Answer], right: list[Answer]) -> list[str]:
    """The questions on which two judges differ."""
    return [
        f"{show(question)}: (ingress, egress) {one} against {other}"
        for question, one, other in zip(asked, left, right, strict=True)
        if one != other
    ]


def widened(asked: list[Question], before: list[Answer], after: list[Answer]) -> list[str]:
    """The questions that are allowed after and were not before, at either end."""
    return [
        f"{show(question)}: (ingress, egress) {one} became {other}"
        for question, one, other in zip(asked, before, after, strict=True)
        if (other[0] and not one[0]) or (other[1] and not one[1])
    ]
