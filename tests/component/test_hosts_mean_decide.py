"""Random rules about hosts, random calls with names and addresses of every kind: a real Envoy against ``decide``."""

import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from ringfence.model import hosts
from ringfence.model.errors import CannotTell
from ringfence.model.resources import CidrPeer, HostPeer, Peer, Protocol, Rule
from ringfence.model.verdict import Reason
from ringfence.model.world import World
from ringfence.policy.decide import decide
from ringfence.policy.ends import Address, Host

from tests.component import host_rig
from tests.component.host_rig import HOSTS, INSIDE, LISTED, OTHER_POD, PORTS, Outside, http, tls
from tests.unit.policy import making
from tests.unit.policy.making import allow, caller, deny

pytestmark = [pytest.mark.component, pytest.mark.timeout(3600)]

PAIRS = int(os.environ.get("RINGFENCE_HOSTS", "1200"))
#: Calls through one proxy.
SHARE = 150
NAMES = (
    *("api.example.com", "example.com", "a.example.com", "b.a.example.com", "www.api.example.com", "xapi.example.com"),
    *("other.example", "a.other.example", "a-b.other.example", "com.example", "api.example.com.evil.example"),
)
PATTERNS = (
    *("api.example.com", "*.example.com", "*.api.example.com", "other.example", "*.other.example", "*.a.example.com"),
)
NETWORKS = ("20.0.0.0/24", "20.0.0.2/32", "10.50.0.0/16", "0.0.0.0/0", "20.0.0.0/30", "2600:1f::/32")
#: Where programs connect to: hosts, what is listed and what is inside, nobody.
TARGETS = (*HOSTS[:3], LISTED, OTHER_POD, "10.96.0.1", "20.9.9.9", "169.254.169.254")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with host_rig.outside(tmp_path_factory.mktemp("outside")) as made:
        yield made


class Draw:
    """Draws rules, name servers and calls."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 (which cases are tried)

    def rules(self) -> tuple[Rule, ...]:
        found = [self._named(f"h{n}") for n in range(self.random.randint(1, 3))]
        for number in range(self.random.randint(0, 2)):
            make = deny if self.random.random() < 0.5 else allow
            found.append(make(f"n{number}", CidrPeer(self.random.choice(NETWORKS)), ports=self._ports()))
        return tuple(found)

    def _named(self, name: str) -> Rule:
        peers: list[Peer] = [HostPeer(each) for each in self.random.sample(PATTERNS, self.random.randint(1, 3))]
        peers += [caller("api")] if self.random.random() < 0.2 else []
        return allow(name, *peers, ports=self._ports())

    def _ports(self) -> tuple[int, ...]:
        return tuple(self.random.sample(PORTS, self.random.randint(1, 3)))

    def zone(self) -> dict[str, list[str]]:
        inside = [each for each in INSIDE if each != OTHER_POD]
        among = [*HOSTS * 10, *[LISTED] * 5, OTHER_POD, *inside]
        return {name: [self.random.choice(among)] for name in NAMES}

    def call(self, rules: tuple[Rule, ...]) -> dict[str, Any]:
        name, port, to = self.random.choice(NAMES), self.random.choice(PORTS), self.random.choice(TARGETS)
        named = [rule for rule in rules if any(isinstance(peer, HostPeer) for peer in rule.peers or ())]
        if self.random.random() < 0.6:
            rule = self.random.choice(named)
            patterns = [peer.host for peer in rule.peers or () if isinstance(peer, HostPeer)]
            name = self.random.choice([each for each in NAMES if hosts.matches(patterns[0], each)] or NAMES)
            port = self.random.choice([each.port for each in rule.ports or () if isinstance(each.port, int)])
        if self.random.random() < 0.1:
            return tls("", to, port) | {"name": ""}
        if self.random.random() < 0.5:
            return tls(name, to, port) | {"name": name}
        right = f"{name}:{port}"
        shown = self.random.choice((right, right, right, name, f"{name}:81", name.upper()))
        agrees = shown in {right, *((name, name.upper()) if port == 80 else ())}
        return http(shown, to, port) | {"name": name if agrees else ""}


def expected(known: World, zone: dict[str, list[str]], call: dict[str, Any]) -> str:
    """What ``decide`` makes of a call: by its address where that is open, else by its name and the name's address."""
    effective = making.effective(known)
    (web,) = (pod for pod in known.workloads["shop"] if pod.name == "web")

    def half(end: Address | Host) -> tuple[bool, Reason]:
        found = decide(known, effective, web, end, Protocol.TCP, call["port"])
        return found.egress.allowed, found.egress.reason

    allowed, reason = half(Address(call["to"]))
    if allowed and reason is not Reason.ALLOWED_FOR_HOSTS:
        return f"reached {call['to']}"
    if not call["name"]:
        return "refused"
    try:
        named, _ = half(Host(call["name"]))
    except CannotTell:
        # Some addresses are denied, or opened, by network: then it is up to this one.
        rules = effective("shop").rules
        allows = [rule for rule in rules if rule.ports.contains(Protocol.TCP, call["port"], frozenset())]
        patterns = [each for rule in allows for peer in rule.hosts for each in peer.hosts]
        named = any(hosts.matches(each, call["name"]) for each in patterns)
    (leads,) = zone[call["name"]]
    there, why = half(Address(leads))
    by_name = why in {Reason.ALLOWED_FOR_HOSTS, Reason.ALLOWED_BY_RULE}
    return f"reached {leads}" if named and there and by_name else "refused"


def test_a_real_envoy_does_what_decide_says(outside: Outside) -> None:
    count: Counter[str] = Counter()
    wrong: list[str] = []
    for seed in range(PAIRS // SHARE):
        draw = Draw(seed)
        rules, zone = draw.rules(), draw.zone()
        known = host_rig.world(*rules)
        outside.knows(zone)
        calls = [draw.call(rules) for _ in range(SHARE)]
        meant = [expected(known, zone, call) for call in calls]
        with outside.proxied(known):
            found = [each.strip() if each.startswith("reached") else each for each in outside.call(calls)]
        for call, want, came in zip(calls, meant, found, strict=True):
            count[want.partition(" ")[0]] += 1
            if came.partition(" ")[0] != "refused" if want == "refused" else came != want:
                wrong.append(f"seed {seed}: {call}: {came}, but {want}; {zone.get(call['name'])}")
    assert wrong == []
    assert count.total() >= min(PAIRS, SHARE)
    assert min(count["reached"], count["refused"]) > count.total() / 8, count
