"""What came closest to allowing a denied call, and what holds an Allow back: the second half of an answer to "why?"."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.net import PortSet
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Call, Effective
from ringfence.policy.ends import Address, End

#: Near misses that are shown; more would hide the one that matters.
MANY: Final = 5
_MISSED: Final = {
    "subject": "but it governs other pods than {governed}",
    "peer": "but it does not name {other}",
    "port": "but only on {ports}",
}


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An Allow that fails to match a call in one thing: ``missed`` is ``subject``, ``peer`` or ``port``."""

    rule: EffectiveRule
    missed: str


def hints(
    world: World, effective: Effective, half: Half, source: End, target: End, protocol: Protocol, port: int | str
) -> tuple[str, ...]:
    """What a person can do about a half that denies because nothing allows: the rules that came closest, or the Deny
    that holds an Allow back. Empty for every other half.
    """
    source, target = ends.locate(world, source), ends.locate(world, target)
    governed, other = (source, target) if half.direction is Direction.EGRESS else (target, source)
    if not isinstance(governed, Workload) or half.reason not in {Reason.NO_RULE_ALLOWS, Reason.RULE_SUSPENDED}:
        return ()
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    call = Call(world, half.direction, governed, other, protocol, number, ends.port_names(target, number, protocol))
    return tuple(_hints(half, effective(governed.namespace), call))


def near_misses(policy: EffectivePolicy, call: Call) -> tuple[NearMiss, ...]:
    """The enforced Allows that miss a call in one thing only, those that miss the port first."""
    found = []
    for rule in policy.rules:
        if rule.action is not Action.ALLOW or rule.direction is not call.direction or rule.mode is Mode.AUDIT:
            continue
        if rule.builtin or is_inside(rule.ref):
            continue
        missed = [name for name, hit in _conditions(rule, call) if not hit]
        if len(missed) == 1:
            found.append(NearMiss(rule, missed[0]))
    order = ("port", "peer", "subject")
    return tuple(sorted(found, key=lambda miss: (order.index(miss.missed), miss.rule.ref)))


def _conditions(rule: EffectiveRule, call: Call) -> Iterator[tuple[str, bool]]:
    yield "subject", rule.subject.matches(call.governed.labels)
    yield "peer", any(decide.matches(peer, call.other, call.world) for peer in rule.peers)
    yield "port", rule.ports.contains(call.protocol, call.port, call.names)


def _hints(half: Half, policy: EffectivePolicy, call: Call) -> Iterable[str]:
    if half.reason is Reason.RULE_SUSPENDED:
        rule = next(r for r in policy.rules if r.ref == half.rule and r.direction is half.direction)
        return (f"{rule.suspended_by} overlaps it in a way that no NetworkPolicy can express",)
    misses = near_misses(policy, call)
    words = {"governed": _name(call.governed), "other": _name(call.other)}
    lines = [
        f"{miss.rule.ref} comes close, {_MISSED[miss.missed].format(**words, ports=_ports(miss.rule.ports))}"
        for miss in misses[:MANY]
    ]
    if len(misses) > MANY:
        lines.append(f"and {len(misses) - MANY} more rules")
    return lines


def _name(end: End) -> str:
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def _ports(ports: PortSet) -> str:
    if ports.everything:
        return "every port"
    spans = [f"{r.protocol} {r.first}" + (f"-{r.last}" if r.last > r.first else "") for r in ports.ranges]
    return ", ".join([*spans, *(f"{named.protocol} {named.name}" for named in ports.names)])
