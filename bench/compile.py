"""How long compiling takes: a whole cluster's policies at once, and one namespace after one policy changed.

Pure computation in one thread, no API server: measured as processor time. Policies are of the kinds that people
write: identities of the own and of other namespaces, zones, namespaces, addresses; one rule in ten a Deny, two floors.
"""

import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ringfence import memory
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY, LABEL_ZONE
from ringfence.model.resources import (
    Action,
    AnonymousPeer,
    AppliesTo,
    CidrPeer,
    ClusterSecurityPolicy,
    IdentityPeer,
    NamespacePeer,
    Peer,
    PolicySpec,
    PortSpec,
    ResourceMeta,
    Rule,
    SecurityPolicy,
    ServiceIdentity,
    ZonePeer,
)
from ringfence.model.world import Installation, Namespace, Workload, World
from ringfence.policy.resolve import resolve
from ringfence.translate import network_policy

from bench import table

NAMESPACES: Final = 50
IDENTITIES: Final = 40
"""In each namespace."""
POLICIES: Final = 20
"""In each namespace, of ten rules each."""
RULES: Final = 10
ZONES: Final = 8
CHANGES: Final = 200
GOAL_ALL: Final = 2.0
GOAL_ONE: Final = 0.005


def world(seed: int = 1, *, namespaces: int = NAMESPACES, policies: int = POLICIES) -> World:
    """2,000 identities (each with a pod), 1,000 policies of 10 rules and two floors, in 50 closed namespaces.

    ``policies`` are those in each of ``namespaces``.
    """
    dice = random.Random(seed)  # noqa: S311 - a bench wants the same numbers again
    names = [f"team-{number:02}" for number in range(namespaces)]
    return World(
        installation=Installation(pod_cidrs=("10.0.0.0/8",), api_server=(("192.168.0.1", 6443),)),
        namespaces={name: _namespace(name, number) for number, name in enumerate(names)},
        identities={name: {i: ServiceIdentity(ResourceMeta(i, name), i) for i in _identities()} for name in names},
        policies={name: tuple(_policy(dice, names, name, number) for number in range(policies)) for name in names},
        cluster_policies=_floors(),
        workloads={
            name: tuple(_pod(name, identity, place, number) for number, identity in enumerate(_identities()))
            for place, name in enumerate(names)
        },
    )


def _namespace(name: str, number: int) -> Namespace:
    return Namespace.of(name, {LABEL_ENROLL: "enforce", LABEL_ZONE: f"zone-{number % ZONES}"}, enforced=True)


def _identities() -> list[str]:
    return [f"service-{number:02}" for number in range(IDENTITIES)]


def _pod(namespace: str, identity: str, place: int, number: int) -> Workload:
    return Workload(namespace, f"{identity}-0", identity, {LABEL_IDENTITY: identity}, (f"10.{place}.0.{number}",))


def _policy(dice: random.Random, names: list[str], namespace: str, number: int) -> SecurityPolicy:
    rules = [_rule(dice, names, namespace, place) for place in range(RULES)]
    governed = dice.sample(_identities(), 2)
    return SecurityPolicy(
        ResourceMeta(f"policy-{number:02}", namespace),
        AppliesTo(identities=tuple(governed)),
        PolicySpec(
            ingress=tuple(rule for rule in rules if not rule.name.startswith("to")),
            egress=tuple(rule for rule in rules if rule.name.startswith("to")) or None,
        ),
    )


def _rule(dice: random.Random, names: list[str], namespace: str, place: int) -> Rule:
    egress = place >= RULES - 3
    return Rule(
        name=f"{'to' if egress else 'from'}-{place}",
        action=Action.DENY if place == 0 else Action.ALLOW,
        peers=tuple(dict.fromkeys(_peer(dice, names, namespace) for _ in range(dice.randint(1, 3)))),
        ports=(PortSpec(dice.choice((80, 443, 8080, 8443, 9090))),) if dice.random() < 0.9 else None,
    )


def _peer(dice: random.Random, names: list[str], namespace: str) -> Peer:
    throw = dice.random()
    if throw < 0.5:
        return IdentityPeer(namespace, dice.choice(_identities()))
    if throw < 0.75:
        return IdentityPeer(dice.choice(names), dice.choice(_identities()))
    if throw < 0.85:
        return ZonePeer(f"zone-{dice.randrange(ZONES)}")
    if throw < 0.95:
        return NamespacePeer(dice.choice(names))
    return CidrPeer(f"203.0.{dice.randrange(256)}.0/24")


def _floors() -> tuple[ClusterSecurityPolicy, ...]:
    metadata = Rule("no-credentials", Action.DENY, (CidrPeer("169.254.169.254/32"),), None)
    nobody = Rule("no-strangers", Action.DENY, (AnonymousPeer(),), (PortSpec(9090),))
    return (
        ClusterSecurityPolicy(ResourceMeta("cloud"), LabelBox(), PolicySpec(egress=(metadata,))),
        ClusterSecurityPolicy(ResourceMeta("metrics"), LabelBox(), PolicySpec(ingress=(nobody,))),
    )


def compile_all(cluster: World) -> int:
    """Resolve and translate every namespace; the number of objects."""
    return sum(len(network_policy.objects(resolve(cluster, name), cluster.installation)) for name in cluster.namespaces)


def changes(cluster: World) -> Iterator[tuple[World, str]]:
    """The world after one ingress rule of one policy, an Allow or the Deny, changed; and where."""
    dice = random.Random(2)  # noqa: S311 - as above
    names = list(cluster.namespaces)
    for _ in range(CHANGES):
        name = dice.choice(names)
        policies = list(cluster.policies[name])
        place = dice.randrange(len(policies))
        old = policies[place]
        ingress = list(old.spec.ingress or ())
        number = dice.randrange(len(ingress))
        ingress[number] = _rule(dice, names, name, number)
        policies[place] = replace(old, spec=replace(old.spec, ingress=tuple(ingress)))
        yield replace(cluster, policies={**cluster.policies, name: tuple(policies)}), name


def rows() -> list[table.Row]:
    """The figures of the compiler."""
    memory.collect_seldom()  # as every process of Ringfence does at its start
    cluster = world()
    started, cpu = time.perf_counter(), time.process_time()
    objects = compile_all(cluster)
    whole, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"compiled {objects} NetworkPolicies", file=sys.stderr)
    times = []
    for changed, name in changes(cluster):
        started = time.process_time()
        network_policy.objects(resolve(changed, name), changed.installation)
        times.append(time.process_time() - started)
    times.sort()
    median, slowest = statistics.median(times), times[int(len(times) * 0.99)]
    count = NAMESPACES * POLICIES
    return [
        table.Row(
            f"{count:,} policies of {RULES} rules, {NAMESPACES * IDENTITIES:,} identities, {NAMESPACES} namespaces",
            f"{cpu:.2f} s",
            f"{GOAL_ALL:.0f} s",
            cpu <= GOAL_ALL,
        ),
        table.Row("all of them, by the clock on the wall (the machine may have had other work)", f"{whole:.2f} s"),
        table.Row(
            f"one policy changed: its namespace ({POLICIES} policies), median of {CHANGES}",
            f"{median * 1000:.1f} ms",
            f"{GOAL_ONE * 1000:.0f} ms",
            median <= GOAL_ONE,
        ),
        table.Row("the same, 99th of 100", f"{slowest * 1000:.1f} ms"),
        table.Row("NetworkPolicies written", f"{objects:,}"),
    ]


if __name__ == "__main__":
    table.show("compile", rows())
