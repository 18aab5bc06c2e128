"""What rules about requests cost at the server's proxy: 1, 10, 100 and 1,000 of each kind, beside none.

Of every sweep only the last rule lets the measured request in, so that all of them are asked. The pairs of pods of one
sweep stand side by side and are called in turns; only the server's policies differ.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from ringfence.model.requests import Asks, HeaderCondition, HttpMatch, Requests
from ringfence.model.resources import PolicySpec, Rule

from bench import fortio, limits, proxy, proxy_mesh, table, tokens
from bench.turns import Pairs, Turns
from e2e.cluster.errors import ClusterError
from e2e.goprogram.build import BuildError

COUNTS: Final = (1, 10, 100, 1000)
_NONE: Final = "none"


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
    found = [row for name, made in KINDS.items() for row in _sweep(name, made)]
    return [*found, *tokens.rows(), *limits.rows()]


def rules(made: Callable[[int], Requests], count: int) -> tuple[Rule, ...]:
    """So many rules of a kind, the last of which lets the measured request in; none: one that asks of no request."""
    if not count:
        return (_rule("any", None),)
    return (*(_rule(f"r-{number:04}", made(number)) for number in range(count - 1)), _rule("z-last", _OPEN))


def _rule(name: str, requests: Requests | None) -> Rule:
    return proxy_mesh.rule(name, proxy_mesh.CALLER, (proxy_mesh.PORTS["HTTP"],), requests)


def _sweep(name: str, made: Callable[[int], Requests]) -> Iterator[table.Row]:
    with proxy.bench() as bench:
        specs = {str(count or _NONE): PolicySpec(ingress=rules(made, count)) for count in (0, *COUNTS)}
        pairs: Pairs = {
            count: (bench.proxied(f"r{count}", spec=spec, services=proxy.SERVICES[0]), {})
            for count, spec in specs.items()
        }
        seen = Turns(bench, pairs, name)
    for count in map(str, COUNTS):
        yield table.Row(f"{count} rules, {name}", seen.told(count))
