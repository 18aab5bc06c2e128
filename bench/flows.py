"""How long it takes to replay recorded calls: a million of them, against the policies of a whole cluster.

The world is that of the compiler's bench, with every third rule about requests on ports that speak HTTP; the records
are the access logs of both ends, with a path of its own in nearly each.
"""

import json
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import IO, Final

from ringfence.flows import reading
from ringfence.flows.cast import Learned
from ringfence.flows.judge import Judge
from ringfence.flows.reading import Tally
from ringfence.flows.replay import Replay
from ringfence.model.mesh import ServicePort, ServiceValue
from ringfence.model.requests import HttpMatch, Requests
from ringfence.model.resources import Action, PolicySpec, Protocol, Rule
from ringfence.model.world import Workload, World
from ringfence.policy.resolve import resolve

from bench import compile as compiled
from bench import table

FLOWS: Final = 1_000_000
#: Pairs of ends that talk.
PAIRS: Final = 20_000
GOAL: Final = 60.0
HTTP: Final = (80, 8080)
_STATED: Final = Requests((HttpMatch(("GET", "POST"), ("/orders/{*}", "/orders/{*}/items", "/static/*")),))


def world() -> World:
    """The cluster, with proxies and rules about requests."""
    found = compiled.world()
    policies = {
        name: tuple(replace(each, spec=_about_requests(each.spec)) for each in some)
        for name, some in found.policies.items()
    }
    pods = {name: tuple(replace(pod, proxied=True) for pod in some) for name, some in found.workloads.items()}
    return replace(
        found,
        policies=policies,
        workloads=pods,
        installation=replace(found.installation, proxies=True),
    )


def _about_requests(spec: PolicySpec) -> PolicySpec:
    def rule(number: int, each: Rule) -> Rule:
        told = each.ports is not None and each.ports[0].port in HTTP and each.ports[0].protocol is Protocol.TCP
        return replace(each, requests=_STATED) if told and number % 3 == 0 and each.action is Action.ALLOW else each

    return replace(spec, ingress=tuple(rule(number, each) for number, each in enumerate(spec.ingress or ())))


def services(known: World) -> dict[str, tuple[ServiceValue, ...]]:
    """A Service for every pod, whose usual ports speak HTTP."""
    ports = tuple(ServicePort(f"http-{port}", port, port) for port in HTTP)
    return {
        name: tuple(
            ServiceValue(name, pod.name, ports=ports, selector=tuple(sorted(pod.labels.items()))) for pod in some
        )
        for name, some in known.workloads.items()
    }


def write(out: IO[bytes], known: World, count: int) -> None:
    """The logs of both ends: ``count`` lines."""
    dice = random.Random(7)  # noqa: S311 - a bench wants the same numbers again
    pods = [pod for some in known.workloads.values() for pod in some]
    pairs = [(dice.choice(pods), dice.choice(pods), dice.choice((80, 443, 8080, 9090))) for _ in range(PAIRS)]
    for number in range(count):
        source, target, port = dice.choice(pairs)
        out.write(json.dumps(dict(_line(number, source, target, port))).encode() + b"\n")


def _line(number: int, source: Workload, target: Workload, port: int) -> Iterator[tuple[str, object]]:
    outbound = number % 2
    ends = {"source": f"{source.ips[0]}:40000", "destination": f"{target.ips[0]}:{port}"}
    yield "time", f"2027-01-15T08:{number // 60_000 % 60:02}:{number // 1000 % 60:02}.{number % 1000:03}Z"
    yield from ends.items()
    if outbound:
        yield "upstream", ends["destination"]
        yield "upstreamPeer", f"spiffe://cluster.local/ns/{target.namespace}/sa/{target.service_account}"
    else:
        yield "peer", f"spiffe://cluster.local/ns/{source.namespace}/sa/{source.service_account}"
        yield "tls", "TLSv1.3"
    if port in HTTP:
        yield "method", "GET" if number % 5 else "POST"
        yield "host", f"{target.name}.{target.namespace}"
        yield "path", f"/orders/{number}/items" if number % 3 else f"/static/{number % 977}/app.js"
        yield "code", 200
        yield "details", "via_upstream"
    yield "direction", "outbound" if outbound else "inbound"
    yield from {"flags": "-", "duration": 3, "received": 120, "sent": 1500}.items()


def rows() -> list[table.Row]:
    """The figures of `ringfence simulate`."""
    known = world()
    effective = cache(lambda name: resolve(known, name))
    with tempfile.TemporaryFile() as file:
        write(file, known, FLOWS)
        size = file.tell()
        started, cpu = time.perf_counter(), time.process_time()
        file.seek(0)
        learned = Learned()
        for flow in reading.told_by_proxies(file):
            learned.add(flow)
        file.seek(0)
        tally, replayed = Tally(), Replay(Judge(known, effective, services(known), learned.accounts))
        for flow in reading.read(file, "log", tally):
            replayed.add(flow)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    broken = sum(group.seen.count for group in replayed.broken.values())
    assert replayed.flows == FLOWS
    assert broken > 0
    return [
        table.Row(
            f"{FLOWS:,} calls ({size >> 20} MiB of logs), 1,000 policies of 10 rules, 2,000 identities",
            f"{cpu:.1f} s",
            f"{GOAL:.0f} s",
            cpu <= GOAL,
        ),
        table.Row("the same by the clock on the wall (the machine may have had other work)", f"{seconds:.1f} s"),
        table.Row("calls each second of one core", f"{FLOWS / cpu:,.0f}"),
        table.Row("memory of the whole process at its peak", f"{peak:.0f} MiB"),
        table.Row("kinds of calls that would break, and calls", f"{len(replayed.broken):,}, {broken:,}"),
    ]


if __name__ == "__main__":
    table.show("flows", rows())
