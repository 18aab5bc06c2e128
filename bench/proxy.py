"""What a proxy at both ends adds to a call: time, processor and memory, beside a direct call and the same Envoy bare.

Three pairs of pods stand side by side: (a) without proxies, (b) with Envoys that only carry, by the same listeners and
clusters, (c) with mutual TLS, twenty policies and the access log. They are called in turns within each round, so that
whatever else the machine does falls on all of them.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL
from typing import Final

from ringfence.model.ca import Slot
from ringfence.model.certificates import KeyAlgorithm
from ringfence.model.proxy import ProxyConfig
from ringfence.model.resources import PolicySpec
from ringfence.model.spiffe import SpiffeId
from ringfence.pki import keys, root, template
from ringfence.pki.local_signer import LocalSigner
from ringfence.translate.envoy import static
from ringfence.translate.envoy.messages import Message

from bench import enforcement, fortio, pods, proxy_mesh, rig, svids, table
from bench.envoys import Envoy, Memory, others_cpu
from bench.fortio import Load, Result
from e2e import envoy
from e2e.cluster.errors import ClusterError
from e2e.goprogram.build import BuildError

#: Rounds, and calls of each kind that count: the least disturbed, since what disturbs only adds.
STEADY_ROUNDS, CEILING_ROUNDS, KEPT = 16, 8, 5
STEADY: Final = Load(rate=500, connections=16, seconds=2)
CEILING: Final = Load(rate=0, connections=32, seconds=2)
SERVICES: Final = (10, 100, 1000)
GOAL_LATENCY: Final = 1.3
GOAL_CEILING: Final = 0.75
GOAL_CPU: Final = 1.3
GOAL_IDLE: Final = 20
GOAL_BUSY: Final = 30
_SETTLED: Final = 8.0
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Seen:
    """One call of the load generator. ``cpu``: seconds of both proxies a request, halved; ``others``: processors that
    the rest of the machine used meanwhile; ``full``: as many as were answered, at no fixed rate."""

    result: Result
    cpu: float
    others: float
    full: bool


@dataclass(slots=True)
class Setup:
    """A pair of pods, and the address by which the caller calls the server."""

    pair: pods.Pair
    host: str
    proxies: tuple[Envoy, ...] = ()

    def command(self, program: Path, kind: str, load: Load, headers: Mapping[str, str] | None = None) -> list[str]:
        """What the caller runs to call a port."""
        return fortio.caller(program, f"http://{self.host}:{proxy_mesh.PORTS[kind]}/echo?size=1024", load, headers)

    def call(self, program: Path, kind: str, load: Load, headers: Mapping[str, str] | None = None) -> Seen:
        """Call it; raises ValueError where not every answer is what it should be."""
        command = self.command(program, kind, load, headers)
        spent, others, started = self._cpu(), others_cpu(), time.monotonic()
        output = self.pair.caller.ask(command, load.seconds + 30)
        seconds = time.monotonic() - started
        result = fortio.result(output)
        cpu = (self._cpu() - spent) / result.requests / max(1, len(self.proxies))
        return Seen(result, cpu, (others_cpu() - others) / seconds, full=not load.rate)

    def _cpu(self) -> float:
        return sum(each.cpu() for each in self.proxies)


@dataclass(frozen=True, slots=True)
class Identities:
    """A CA for one measurement."""

    slot: Slot = field(default_factory=lambda: root.make_root(proxy_mesh.TRUST_DOMAIN, time.time(), 1 << 70))

    def secrets(self, account: str) -> tuple[Message, ...]:
        """What a proxy of an identity gets over SDS."""
        chain, key = self.pair(account)
        roots = self.slot.root.certificate.decode()
        bundle = static.bundle_secret(proxy_mesh.TRUST_DOMAIN, roots)
        return static.identity_secret(chain.decode(), key.decode()), bundle

    def pair(self, account: str, serial: int = 1 << 95) -> tuple[bytes, bytes]:
        """A new key and its certificate, as proxyd makes them: (chain, key), both in PEM."""
        key = keys.generate(KeyAlgorithm.ECDSA_P256)
        spiffe_id = SpiffeId.of_service_account(proxy_mesh.TRUST_DOMAIN, proxy_mesh.NAMESPACE, account)
        ends = self.slot.root.not_after
        leaf = template.leaf(spiffe_id, (), ttl=3600, now=time.time(), serial=serial, issuer_ends=ends)
        return LocalSigner(self.slot).sign_now(leaf, key.public_der), key.pem


class Bench:
    """The pairs and their programs, for as long as the block runs."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-proxy-")))
        self.place.chmod(0o755)
        self.fortio = pods.readable(fortio.program(), self.place)
        self.envoy = pods.readable(envoy.binary(), self.place)
        self._identities = Identities()

    def direct(self) -> Setup:
        """(a)"""
        return Setup(self._pair(), pods.SERVER)

    def proxied(
        self, name: str, *, bare: bool = False, spec: PolicySpec | None = None, services: int = SERVICES[-1]
    ) -> Setup:
        """(b) where ``bare``, else (c); ``spec`` as proxy_mesh.mesh takes it."""
        pair = self._pair()
        found = proxy_mesh.mesh(services, spec)
        proxies = [
            self.run(pod, f"{name}-{account}", proxy_mesh.configured(found, account), account, bare=bare)
            for pod, account in ((pair.server, proxy_mesh.SERVER), (pair.caller, proxy_mesh.CALLER))
        ]
        for pod in pair.pods:
            pod.redirect()
        for each in proxies:
            each.ready()
        return Setup(pair, proxy_mesh.SERVICE_IP, tuple(proxies))

    def run(self, pod: pods.Pod, name: str, config: ProxyConfig, account: str, *, bare: bool) -> Envoy:
        """An Envoy in a pod."""
        place = self.place / name
        admin = place / "admin"
        made = proxy_mesh.whole(config, self._identities.secrets(account), str(admin), bare=bare)
        return Envoy.start(self.envoy, pod, place, made, admin)

    def _pair(self) -> pods.Pair:
        pair = pods.Pair.make()
        self._stack.callback(pair.close)
        for port in proxy_mesh.PORTS.values():
            pair.server.start(fortio.server(self.fortio, port), output=DEVNULL)
        return pair


@contextmanager
def bench() -> Iterator[Bench]:
    """Everything is gone afterwards. Needs root."""
    with ExitStack() as stack:
        yield Bench(stack)


# --- figures --------------------------------------------------------------------------------------------------------


def rows() -> list[table.Row]:
    """All figures of the proxy; one that says why, where they cannot be had."""
    if os.geteuid() != 0:
        return [table.Row("proxies", "not measured: networks of pods can only be made by root")]
    try:
        fortio.program()
    except (BuildError, ClusterError) as error:
        return [table.Row("proxies", f"not measured: {error}")]
    return _all()


def _all() -> list[table.Row]:
    with bench() as made:
        idle = [_idle(made, count) for count in SERVICES]
    with bench() as made:
        setups = {"a": made.direct(), "b": made.proxied("b", bare=True), "c": made.proxied("c", bare=False)}
        time.sleep(_SETTLED)
        steady, ceiling = (
            _measured(made, setups, STEADY, STEADY_ROUNDS),
            _measured(made, setups, CEILING, CEILING_ROUNDS),
        )
        time.sleep(_SETTLED)
        busy = max((each.memory() for each in setups["c"].proxies), key=lambda each: each.anonymous)
    found = [_others(steady, ceiling)]
    for kind in proxy_mesh.PORTS:
        found += _latency(steady, kind) + _cpu(steady, kind) + _ceiling(ceiling, kind)
    found.append(_reading(steady))
    found += [
        _memory(f"idle, {count} Services in the cluster", seen, GOAL_IDLE)
        for count, seen in zip(SERVICES, idle, strict=True)
    ]
    return [*found, _memory("after the load above", busy, GOAL_BUSY), *svids.rows(), *enforcement.rows()]


#: By setup ("a", "b", "c") and kind of port; of "a" only TCP, which it does not tell from HTTP.
Measured = dict[tuple[str, str], list[Seen]]


def _measured(made: Bench, setups: dict[str, Setup], load: Load, rounds: int) -> Measured:
    """All setups in turns."""
    turns = [(name, kind) for name in setups for kind in proxy_mesh.PORTS if name != "a" or kind == "TCP"]
    for name, kind in turns:
        setups[name].call(made.fortio, kind, Load(load.rate, load.connections, 1))
    seen: list[dict[tuple[str, str], Seen]] = []
    for number in range(rounds):
        seen.append({turn: setups[turn[0]].call(made.fortio, turn[1], load) for turn in turns})
        rig.say(f"proxy: round {number + 1} of {rounds} at {load.rate or 'full'} rate: {_told(seen[-1])}")
    return {turn: sorted((each[turn] for each in seen), key=_disturbed)[:KEPT] for turn in turns}


def _disturbed(seen: Seen) -> tuple[float, float]:
    """What orders calls of one kind: at full rate the answers a second, otherwise what the slowest waited."""
    return (-seen.result.rate if seen.full else 0.0, seen.result.p99)


def _told(round_: dict[tuple[str, str], Seen]) -> str:
    parts = [
        f"{name}/{kind} p50 {seen.result.p50 * 1e3:.2f} p99 {seen.result.p99 * 1e3:.2f} {seen.result.rate:.0f}/s"
        for (name, kind), seen in round_.items()
    ]
    return ", ".join([*parts, f"others {statistics.mean(seen.others for seen in round_.values()):.2f}"])


def _others(*measured: Measured) -> table.Row:
    seen = [one.others for found in measured for each in found.values() for one in each]
    return table.Row("processors that the rest of the machine used meanwhile", f"{statistics.mean(seen):.2f}")


def _latency(steady: Measured, kind: str) -> list[table.Row]:
    found = []
    for name in ("p50", "p99"):
        a, b, c = (
            statistics.median(getattr(one.result, name) for one in steady[turn])
            for turn in (("a", "TCP"), ("b", kind), ("c", kind))
        )
        found.append(_added(f"{kind} port: added {name} at {STEADY.rate} requests a second", a, b, c))
    return found


def _reading(steady: Measured) -> table.Row:
    """What part of it is the price of reading HTTP, and none of security's."""
    direct, carried, read, full = (
        statistics.median(one.result.p50 for one in steady[turn])
        for turn in (("a", "TCP"), ("b", "TCP"), ("b", "HTTP"), ("c", "HTTP"))
    )
    added = [f"{(each - direct) / (carried - direct):.1f}" for each in (read, full)]
    what = "HTTP port: added p50 beside bare proxies that do not read HTTP"
    return table.Row(what, f"bare {added[0]} times, with all security {added[1]} times")


def _added(what: str, a: float, b: float, c: float) -> table.Row:
    """What (c) adds to (a) beside what (b) adds; seconds."""
    added, base = c - a, b - a
    text = f"{added * 1e3:.2f} ms, bare {base * 1e3:.2f} ms (direct {a * 1e3:.2f} ms)"
    goal = f"at most {GOAL_LATENCY} times"
    if base <= 0 or added <= 0:
        return table.Row(what, f"{text}: too disturbed to be compared", goal)
    return table.Row(what, f"{text}: {added / base:.2f} times", goal, added / base <= GOAL_LATENCY)


def _cpu(steady: Measured, kind: str) -> list[table.Row]:
    bare, full = (statistics.median(each.cpu for each in steady[name, kind]) for name in ("b", "c"))
    text = f"{full * 1e6:.0f} us, bare {bare * 1e6:.0f} us: {full / bare:.2f} times"
    what = f"{kind} port: processor time of one proxy a request"
    return [table.Row(what, text, f"at most {GOAL_CPU} times", full / bare <= GOAL_CPU)]


def _ceiling(ceiling: Measured, kind: str) -> list[table.Row]:
    turns = (("a", "TCP"), ("b", kind), ("c", kind))
    a, b, c = (statistics.median(each.result.rate for each in ceiling[turn]) for turn in turns)
    text = f"{c:.0f}/s, bare {b:.0f}/s (direct {a:.0f}/s): {c / b:.2f} times"
    what = f"{kind} port: most requests a second"
    return [table.Row(what, text, f"at least {GOAL_CEILING} times", c / b >= GOAL_CEILING)]


def _idle(made: Bench, services: int) -> Memory:
    """Of a caller's proxy that has never been called, some seconds after its start."""
    pair = pods.Pair.make()
    try:
        config = proxy_mesh.configured(proxy_mesh.mesh(services), proxy_mesh.CALLER)
        started = made.run(pair.caller, f"idle-{services}", config, proxy_mesh.CALLER, bare=False)
        started.ready()
        time.sleep(_SETTLED)
        return started.memory()
    finally:
        pair.close()


def _memory(when: str, seen: Memory, goal: int) -> table.Row:
    anonymous = seen.anonymous / _MIB
    text = f"{anonymous:.1f} MiB (PSS {seen.proportional / _MIB:.0f} MiB)"
    what = f"memory of a proxy, {proxy_mesh.REACHABLE} Services of two ports to call, {when}"
    return table.Row(what, text, f"at most {goal} MB", seen.anonymous <= goal * 1_000_000)
