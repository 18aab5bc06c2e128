"""Random policies and connections: real Envoys, real certificates, real redirects, against ``decide``."""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from ringfence.model.effective import AddressPeers
from ringfence.model.mesh import Mesh, ServicePort, ServiceValue
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import MTLS, Protocol
from ringfence.model.verdict import Verdict
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, End
from ringfence.policy.resolve import resolve
from ringfence.policy.transport import transport_of
from ringfence.translate import envoy

from tests.component import proxy_net
from tests.component.proxy_net import Identities, Net
from tests.property import worlds

pytestmark = [pytest.mark.component, pytest.mark.timeout(3600)]

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
    """Random worlds. What is too much is another test's: a limit answers some of many callers, whoever they are."""
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
        found.append(unlimited(world))

    draw()
    return found


def unlimited(world: World) -> World:
    """The world without limits, bounds and changes of headers."""
    policies = {
        name: tuple(replace(each, spec=replace(each.spec, traffic=())) for each in some)
        for name, some in world.policies.items()
    }
    floors = tuple(replace(each, spec=replace(each.spec, traffic=())) for each in world.cluster_policies)
    return replace(world, policies=policies, cluster_policies=floors)


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
    peers = [peer for rule in mesh.effective(target.namespace).rules for peer in rule.peers]
    by_pod = any(isinstance(peer, AddressPeers) and peer.covers_pods for peer in peers)
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
                    # only wide ranges name, and where networks of pods are named, it always waits for the caller.
                    "first": (not shown and RANDOM.random() < 0.9) or port not in known or (shown and by_pod),
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
    secrets = svids.secrets(target.namespace, target.service_account)
    with proxy_net.running(net, envoy.configure(subject, mesh), secrets):
        answers = net.call([pair.call for pair in asked])
    expected = ["allowed" if pair.expected else "denied" for pair in asked]
    return [
        answer if answer == wanted else f"{answer}: {pair.about} {pair.call['first'] and 'first'}"
        for pair, wanted, answer in zip(asked, expected, answers, strict=True)
    ]


@dataclass(frozen=True)
class Way:
    """A call from a pod through its proxy: what may come of it, as a test of what came."""

    call: dict[str, Any]
    right: Callable[[str], bool]
    about: str


def proxied(world: World) -> World:
    """The world with proxies in most pods of namespaces that are enrolled."""

    def injected(pod: Workload) -> Workload:
        enrolled = world.namespaces[pod.namespace].enrolment is not Enrolment.NONE
        return replace(pod, proxied=enrolled and not pod.host_network and RANDOM.random() < 0.8)

    return replace(world, workloads={name: tuple(map(injected, pods)) for name, pods in world.workloads.items()})


def in_mesh(mesh: Mesh, pod: Workload) -> bool:
    disabled = transport_of(mesh.effective(pod.namespace), pod.labels) is MTLS.DISABLED
    return pod.proxied and not disabled


def ways(world: World, mesh: Mesh, source: Workload) -> Iterator[Way]:
    """Calls of a pod to every other pod, to addresses outside, and to Services."""
    closed = mesh.effective(source.namespace).closed
    enrolled = world.namespaces[source.namespace].enrolment is not Enrolment.NONE
    uri = f"spiffe://cluster.local/ns/{source.namespace}/sa/{source.service_account}"
    targets: list[End] = [p for pods in world.workloads.values() for p in pods if not p.host_network and p != source]
    targets += [Address(ip) for ip in worlds.OUTSIDE if ":" not in ip]
    for end in targets:
        address = end.ip if isinstance(end, Address) else end.ips[0]
        for port in PORTS:
            verdict = decide(world, mesh.effective, source, end, Protocol.TCP, port)
            call = {"source": "", "target": address, "port": port, "identity": (), "http": False, "first": True}
            about = f"{source.namespace}/{source.name} -> {address}:{port}: {verdict}"
            # A proxy that un-enrolment has left behind passes on what comes.
            mesh_ = enrolled and isinstance(end, Workload) and in_mesh(mesh, end)
            yield Way({**call, "told": True}, right(verdict, closed=closed, mesh=mesh_, uri=uri), about)
    yield from to_services(world, mesh, source, uri)


def right(verdict: Verdict, *, closed: bool, mesh: bool, uri: str) -> Callable[[str], bool]:
    """What may come of a call: what both ends allow arrives, in mutual TLS where there is a proxy."""
    if verdict.allowed:
        wanted = f"mesh {uri}" if mesh else "plain"
        return lambda told: told == wanted
    if not closed:
        return lambda told: told in {"plain", f"mesh {uri}"}  # nothing is blocked here; the target refuses
    if not verdict.egress.allowed:
        return lambda told: told == "denied"
    # The target refuses it. Whether this end knows is for this end: it may rest on an address, or on a wide `cidr`.
    return lambda told: told in {"denied", "plain", f"mesh {uri}"}


def to_services(world: World, mesh: Mesh, source: Workload, uri: str) -> Iterator[Way]:
    """Services: a pod behind is reached where any may be, outside the mesh where all may be."""
    closed = mesh.effective(source.namespace).closed
    for found in (service for services_ in mesh.services.values() for service in services_):
        pods = [p for p in world.workloads[found.namespace] if set(found.selector) <= p.labels.items()]
        for port in found.ports:
            numbers = {p.name: next((n.port for n in p.ports if n.name == port.target), port.target) for p in pods}
            asked = [(p, n) for p in pods if isinstance(n := numbers[p.name], int)]
            verdicts = [decide(world, mesh.effective, source, p, Protocol.TCP, n) for p, n in asked]
            if not closed or any(not v.allowed and v.egress.allowed for v in verdicts) or source in pods:
                continue
            enrolled = mesh.effective(found.namespace).enrolment is not Enrolment.NONE
            reached = [p for (p, _), v in zip(asked, verdicts, strict=True) if v.allowed]
            allowed = bool(reached) if enrolled else bool(asked) and len(reached) == len(asked)
            wanted = {f"mesh {uri}" if in_mesh(mesh, p) and enrolled else "plain" for p in reached}
            if not allowed:
                wanted = {"denied"}
            call = {"source": "", "target": found.cluster_ips[0], "port": port.port, "identity": (), "first": True}
            about = f"{source.namespace}/{source.name} -> service {found}: {wanted}"
            yield Way({**call, "http": port.name == "http", "told": True}, wanted.__contains__, about)


def sent(net: Net, world: World, svids: Identities, source: Workload) -> list[str]:
    """What came of every call of one pod: "allowed" or "denied" where it is right, else what is wrong."""
    world = proxied(world)
    source = next(p for p in world.workloads[source.namespace] if p.name == source.name)
    mesh = Mesh(world, cache(lambda namespace: resolve(world, namespace)), services(world))
    subject = envoy.subject(as_object(source), mesh)
    asked = list(ways(world, mesh, source))
    net.give("pod", source.ips)
    net.give("callers", {way.call["target"] for way in asked})
    running = [p for pods in world.workloads.values() for p in pods if p.proxied]
    identities = {ip: svids.files(p.namespace, p.service_account) for p in running for ip in p.ips}
    secrets = svids.secrets(source.namespace, source.service_account)
    with net.pods(identities), proxy_net.running(net, envoy.configure(subject, mesh), secrets):
        answers = net.call([way.call for way in asked], "pod")
    return [
        ("denied" if told == "denied" else "allowed") if way.right(told) else f"{told}: {way.about}"
        for way, told in zip(asked, answers, strict=True)
    ]


def governed(world: World) -> list[Workload]:
    """A few pods that policies say something about."""
    chosen = [
        p for n in worlds.NAMESPACES for p in world.workloads[n] if not p.host_network and LABEL_IDENTITY in p.labels
    ]
    return RANDOM.sample(chosen, 2) + ([world.workloads["lab"][0]] if RANDOM.random() < 0.2 else [])


def endless(seed: int) -> Iterator[World]:
    """Random worlds, one after the other."""
    for number in itertools.count():
        known = drawn(seed + number, max(1, PAIRS // 60))
        RANDOM.shuffle(known)
        yield from known


def enough(found: list[str]) -> bool:
    """Whether as many were tried, and both answers were seen often enough, or are not seen however many there are.

    In a few worlds nearly all may be denied.
    """
    allowed, denied = (found.count(each) for each in ("allowed", "denied"))
    wrong = allowed + denied < len(found)
    seen = min(allowed, denied) > len(found) // 50
    return len(found) >= PAIRS and (wrong or seen or len(found) >= 10 * PAIRS)


def tried(
    tmp_path: Path, summary: Callable[[str], None], judge: Callable[[Net, World, Identities, Workload], list[str]]
) -> None:
    seed = int(os.environ.get("RINGFENCE_SEED", RANDOM.randrange(2**31)))
    RANDOM.seed(seed)
    known = endless(seed)
    found: list[str] = []
    with proxy_net.network(tmp_path) as net:
        svids = Identities(tmp_path, "cluster.local")
        while not enough(found):
            world = next(known)
            for target in governed(world):
                found += judge(net, world, svids, target)
    wrong = [line for line in found if line not in {"allowed", "denied"}]
    assert not wrong, f"RINGFENCE_SEED={seed}: {len(wrong)} of {len(found)} disagree\n" + "\n".join(wrong[:30])
    # A test that only ever sees one answer proves nothing.
    assert min(found.count("allowed"), found.count("denied")) > len(found) // 50
    counts = f"{found.count('allowed')} allowed, {found.count('denied')} denied"
    summary(f"proxies against decide, {judge.__name__}: {len(found)} connections agree ({counts}; seed {seed})")


def test_what_proxies_let_in_is_what_decide_says(tmp_path: Path, summary: Callable[[str], None]) -> None:
    tried(tmp_path, summary, judged)


def test_what_proxies_let_out_is_what_decide_says(tmp_path: Path, summary: Callable[[str], None]) -> None:
    tried(tmp_path, summary, sent)
