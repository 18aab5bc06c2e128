"""What rate limits cost a proxy, and how exactly they hold: what passed of an offer of three times the rate."""

from collections.abc import Iterator
from typing import Final

from ringfence.model.resources import PolicySpec, Traffic
from ringfence.model.traffic import Asks, By, Limit, Rate

from bench import fortio, proxy, proxy_mesh, rig, table
from bench.fortio import Load
from bench.turns import Turns

_NONE: Final = "none"
#: What the load of the other pairs never comes near.
_WIDE: Final = Rate(100_000, 1, 100_000)
_HEADERS: Final = {"x-tenant": "acme"}
KINDS: Final = {
    "one for all together": (Limit(By.ALL, _WIDE),),
    "one for each caller": (Limit(By.CALLER, _WIDE),),
    "one for each value of a header": (Limit(By.HEADER, _WIDE, "x-tenant"),),
    "all three": (Limit(By.ALL, _WIDE), Limit(By.CALLER, _WIDE), Limit(By.HEADER, _WIDE, "x-tenant")),
}
#: Requests a second that may pass, each caller.
RATES: Final = (10, 100, 500)
_OFFERED, _SECONDS, _CONNECTIONS = 3, 10, 8
GOAL: Final = 0.02


def rows() -> Iterator[table.Row]:
    """Needs root and fortio."""
    with proxy.bench() as bench:
        pairs = {
            name: (bench.proxied(name.replace(" ", "-"), spec=_spec(limits), services=proxy.SERVICES[0]), _HEADERS)
            for name, limits in ({_NONE: ()} | KINDS).items()
        }
        seen = Turns(bench, pairs, "limits")
    for name in KINDS:
        yield table.Row(f"rate limits: {name}", seen.told(name))
    yield from map(_precision, RATES)


def _spec(limits: tuple[Limit, ...]) -> PolicySpec:
    rule = proxy_mesh.rule("call", proxy_mesh.CALLER, (proxy_mesh.PORTS["HTTP"],))
    traffic = (Traffic("measured", None, Asks(limits)),) if limits else ()
    return PolicySpec(ingress=(rule,), traffic=traffic)


def _precision(rate: int) -> table.Row:
    """Of a full bucket: its burst may pass, and what flows in meanwhile."""
    spec = _spec((Limit(By.CALLER, Rate(rate, 1, rate)),))
    with proxy.bench() as bench:
        setup = bench.proxied("precise", spec=spec, services=proxy.SERVICES[0])
        load = Load(_OFFERED * rate, _CONNECTIONS, _SECONDS)
        answers = fortio.answers(setup.pair.caller.ask(setup.command(bench.fortio, "HTTP", load), _SECONDS + 30))
        rig.say(f"limits: {rate} a second: {answers.codes} in {answers.seconds:.2f} s")
    # fortio asks once on each connection before it begins to count.
    may = rate + rate * answers.seconds - _CONNECTIONS
    passed = answers.codes.get("200", 0)
    off = passed / may - 1
    what = f"{rate} requests a second of {_OFFERED * rate} offered, {_SECONDS} s"
    others = sum(answers.codes.values()) - passed - answers.codes.get("429", 0)
    text = f"{passed} passed of {may:.0f} that may ({off:+.1%}), {others} answers other than 200 and 429"
    return table.Row(what, text, f"within {GOAL:.0%}", abs(off) <= GOAL and not others)
