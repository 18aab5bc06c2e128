"""Random policies and connections: real Envoys, real certificates, real redirects, against ``decide``."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from ringfence.model.mesh import Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Protocol
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, End
from ringfence.policy.resolve import resolve
from ringfence.translate import envoy
from ringfence.translate.envoy import static

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.property import worlds

pytestmark = pytest.mark.component

PAIRS = int(os.environ.get("RINGFENCE_PAIRS", "2000"))
RANDOM = random.Random()  # noqa: S311 (which cases are tried)
PORTS = (53, 80, 8080, 9090, 5000)
V6 = "fd00:244::1"


@dataclass(frozen=True)
class Pair:
    """One connection, and what ``decide`` says of it."""

    call: dict[str, Any]
    expected: bool
    about: str


def drawn(seed: int, count: int) -> list[World]:
    """Random worlds."""
    found: list[World] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(worlds.worlds())
    def draw(world: World) -> None:
        found.append(world)

    draw()
    return found


def services(world: World) -> dict[str, tuple[ServiceValue, ...]]:
    """In every namespace one Service for each identity: what is called ``http`` speaks HTTP."""
    return {
        name: tuple(
            ServiceValue(
                name,
                account,
                (f"10.96.{n}.{m}",),
                (ServicePort("http", 80, "http"), ServicePort("metrics", 9090, 9090)),
                ((LABEL_IDENTITY, account),),
            )
            for m, account in enumerate(worlds.IDENTITIES, start=1)
        )
        for n, name in enumerate(sorted(world.namespaces), start=1)
    }


def as_object(pod: Workload) -> dict[str, Any]:
    ports = [{"name": p.name, "containerPort": p.port, "protocol": p.protocol.value} for p in pod.ports]
    found = proxy_net.pod_object(
        pod.namespace, pod.name, pod.service_account, pod.labels, containers=[{"name": "c", "ports": ports}]
    )
    return {**found, "status": {"podIPs": [{"ip": ip} for ip in (*pod.ips, V6)]}}


def pairs(world: World, mesh: Mesh, target: Workload, subject: envoy.Subject, svids: Identities) -> Iterator[Pair]:
    """Every caller of the world on every port, with and without its identity."""
    http = {port.number for port in subject.ports if port.http}
    known = {port.number for port in subject.ports}
    # A proxy that un-enrolment has left behind is spoken to as any other pod.
    enrolled = world.namespaces[target.namespace].enrolment is not Enrolment.NONE
    callers: list[End] = [p for pods in world.workloads.values() for p in pods if not p.host_network and p != target]
    callers += [Address(ip) for ip in worlds.OUTSIDE]
    for end in callers:
        source = end.ip if isinstance(end, Address) else end.ips[0]
        for port in PORTS:
            for shown in (False, True) if identified(world, end) and enrolled else (False,):
                verdict = decide(world, mesh.effective, end, target, Protocol.TCP, port, plaintext=not shown)
                account = svids.files(end.namespace, end.service_account) if shown and isinstance(end, Workload) else ()
                call = {
                    "source": source,
                    "target": V6 if ":" in source else target.ips[0],
                    "port": port,
                    "identity": account,
                    "http": port in http,
                    # Most callers without TLS speak first: Envoy waits a second to see whether they do. On ports that
                    # only wide ranges name it always waits for the caller.
                    "first": (not shown and RANDOM.random() < 0.9) or port not in known,
                }
                about = f"{source} shown={shown} -> {target.namespace}/{target.name}:{port}: {verdict.ingress}"
                yield Pair(call, verdict.ingress.allowed, about)


def identified(world: World, end: End) -> bool:
    return (
        isinstance(end, Workload)
        and world.namespaces[end.namespace].enrolment is not Enrolment.NONE
        and end.labels.get(LABEL_IDENTITY) == end.service_account
    )


def judged(net: Net, world: World, svids: Identities, target: Workload) -> list[str]:
    """What came of every pair about one target: "allowed" or "denied" where both agree, else what is wrong."""
    effective = cache(lambda namespace: resolve(world, namespace))
    mesh = Mesh(world, effective, services(world))
    subject = envoy.subject(as_object(target), mesh)
    asked = list(pairs(world, mesh, target, subject, svids))
    net.give("pod", (*target.ips, V6))
    net.give("callers", {pair.call["source"] for pair in asked})
    chain, key = svids.pair(target.namespace, target.service_account)
    secrets = (
        static.identity_secret(chain.decode(), key.decode()),
        static.bundle_secret(svids.trust_domain, svids.roots.decode()),
    )
    with proxy_net.running(net, envoy.configure(subject, mesh), secrets):
        answers = net.call([pair.call for pair in asked])
    expected = ["allowed" if pair.expected else "denied" for pair in asked]
    return [
        answer if answer == wanted else f"{answer}: {pair.about} {pair.call['first'] and 'first'}"
        for pair, wanted, answer in zip(asked, expected, answers, strict=True)
    ]


def governed(world: World) -> list[Workload]:
    """A few pods that policies say something about."""
    chosen = [
        p for n in worlds.NAMESPACES for p in world.workloads[n] if not p.host_network and LABEL_IDENTITY in p.labels
    ]
    return RANDOM.sample(chosen, 2) + ([world.workloads["lab"][0]] if RANDOM.random() < 0.2 else [])


def test_what_proxies_let_in_is_what_decide_says(tmp_path: Path, summary: Callable[[str], None]) -> None:
    seed = int(os.environ.get("RINGFENCE_SEED", RANDOM.randrange(2**31)))
    RANDOM.seed(seed)
    known = drawn(seed, PAIRS // 60)
    RANDOM.shuffle(known)
    found: list[str] = []
    with proxy_net.network(tmp_path) as net:
        svids = Identities(tmp_path, "cluster.local")
        for world in known:
            for target in governed(world):
                found += judged(net, world, svids, target)
            if len(found) >= PAIRS:
                break
    wrong = [line for line in found if line not in {"allowed", "denied"}]
    assert not wrong, f"RINGFENCE_SEED={seed}: {len(wrong)} of {len(found)} disagree\n" + "\n".join(wrong[:30])
    assert len(found) >= PAIRS
    # A test that only ever sees one answer proves nothing.
    assert min(found.count("allowed"), found.count("denied")) > len(found) // 20
    counts = f"{found.count('allowed')} allowed, {found.count('denied')} denied"
    summary(f"proxies against decide: {len(found)} policies and connections agree ({counts}; seed {seed})")
