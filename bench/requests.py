"""What rules about requests cost at the server's proxy: 1, 10, 100 and 1,000 of each kind, beside none.

Of every sweep only the last rule lets the measured request in, so that all of them are asked. The pairs of pods of one
sweep stand side by side and are called in turns; only the server's policies differ.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Final

from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Requests
from ringfence.model.resources import Action, IdentityPeer, PortSpec, Rule

from bench import fortio, proxy, proxy_mesh, rig, table
from bench.envoys import Memory
from bench.fortio import Load
from bench.proxy import Seen, Setup
from e2e.cluster.errors import ClusterError
from e2e.goprogram.build import BuildError

COUNTS: Final = (1, 10, 100, 1000)
ROUNDS, KEPT = 8, 4
LOAD: Final = Load(rate=300, connections=8, seconds=2)
_SETTLED: Final = 5.0
_MIB: Final = 2**20


def _path(number: int) -> Requests:
    return Requests(http=(HttpMatch(paths=(f"/charges-{number}",)),))


def _template(number: int) -> Requests:
    return Requests(http=(HttpMatch(paths=(f"/shops/{{*}}/charges-{number}/*",)),))


def _method_host(number: int) -> Requests:
    return Requests(http=(HttpMatch(methods=("GET", "POST"), paths=(f"/v{number}/*",), hosts=(f"h{number}.example",)),))


def _header(number: int) -> Requests:
    return Requests(when=(HeaderCondition("x-tenant", Asks.IN, (f"tenant-{number}", f"other-{number}")),))


def _headers(number: int) -> Requests:
    return Requests(when=(HeaderCondition(f"x-tenant-{number}", Asks.IN, ("a", "b")),))


#: By what a reader knows them as: the requests of rule number N.
KINDS: Final[dict[str, Callable[[int], Requests]]] = {
    "exact path": _path,
    "path with an open segment": _template,
    "method, path and host": _method_host,
    "values of one header": _header,
    "a header of its own each": _headers,
}
#: What lets fortio's request in.
_OPEN: Final = Requests(http=(HttpMatch(methods=("GET",), paths=("/echo",)),))


def rows() -> list[table.Row]:
    """All figures; one that says why, where they cannot be had."""
    if os.geteuid() != 0:
        return [table.Row("rules about requests", "not measured: networks of pods can only be made by root")]
    try:
        fortio.program()
    except (BuildError, ClusterError) as error:
        return [table.Row("rules about requests", f"not measured: {error}")]
    return [row for name, made in KINDS.items() for row in _sweep(name, made)]


def rules(made: Callable[[int], Requests], count: int) -> tuple[Rule, ...]:
    """So many rules of a kind, the last of which lets the measured request in; none: one that asks of no request."""
    if not count:
        return (_rule("any", None),)
    return (*(_rule(f"r-{number:04}", made(number)) for number in range(count - 1)), _rule("z-last", _OPEN))


def _rule(name: str, requests: Requests | None) -> Rule:
    peers = (IdentityPeer(proxy_mesh.NAMESPACE, proxy_mesh.CALLER),)
    return Rule(name, Action.ALLOW, peers, (PortSpec(proxy_mesh.PORTS["HTTP"]),), requests)


def _sweep(name: str, made: Callable[[int], Requests]) -> Iterator[table.Row]:
    with proxy.bench() as bench:
        setups = {
            count: bench.proxied(f"r{count}", bare=False, rules=rules(made, count), services=proxy.SERVICES[0])
            for count in (0, *COUNTS)
        }
        time.sleep(_SETTLED)
        seen = _measured(bench, setups, name)
        memory = {count: each.proxies[0].memory() for count, each in setups.items()}
    for count in COUNTS:
        yield table.Row(f"{count} rules, {name}", _told(seen, memory, count))


def _measured(bench: proxy.Bench, setups: dict[int, Setup], name: str) -> dict[int, list[Seen]]:
    for each in setups.values():
        each.call(bench.fortio, "HTTP", Load(LOAD.rate, LOAD.connections, 1))
    seen: dict[int, list[Seen]] = {count: [] for count in setups}
    for number in range(ROUNDS):
        for count, each in setups.items():
            seen[count].append(each.call(bench.fortio, "HTTP", LOAD))
        last = ", ".join(f"{count}: {found[-1].result.p50 * 1e3:.2f} ms" for count, found in seen.items())
        rig.say(f"requests: {name}, round {number + 1} of {ROUNDS}: {last}")
    return {count: sorted(found, key=lambda one: one.result.p99)[:KEPT] for count, found in seen.items()}


def _told(seen: dict[int, list[Seen]], memory: dict[int, Memory], count: int) -> str:
    none, some = seen[0], seen[count]
    p50 = [statistics.median(one.result.p50 for one in found) * 1e3 for found in (none, some)]
    p99 = [statistics.median(one.result.p99 for one in found) * 1e3 for found in (none, some)]
    # Both proxies are counted, and the caller's has nothing more to do.
    cpu = [2e6 * statistics.median(one.cpu for one in found) for found in (none, some)]
    more = (memory[count].anonymous - memory[0].anonymous) / _MIB
    return (
        f"p50 {p50[1]:.2f} ms (none {p50[0]:.2f}), p99 {p99[1]:.2f} ms (none {p99[0]:.2f}), "
        f"processor {cpu[1] - cpu[0]:+.0f} us a request ({cpu[1] / cpu[0]:.2f} times), memory {more:+.1f} MiB"
    )
