"""The answer to "why?" for people: what decided at each end, and what came closest to allowing a denied call."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.net import PortSet
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half, Reason, Verdict
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


def explain(
    world: World, effective: Effective, source: End, target: End, protocol: Protocol, port: int | str
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict on a call and the lines that explain it: one for each end, and near misses behind a denial.

    Raises CannotTell like ``decide``.
    """
    source, target = ends.locate(world, source), ends.locate(world, target)
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    verdict = decide.decide(world, effective, source, target, protocol, number)
    lines: list[str] = []
    for half, governed, other in ((verdict.egress, source, target), (verdict.ingress, target, source)):
        lines.append(_sentence(half, governed, other, protocol, number))
        if isinstance(governed, Workload) and half.reason in {Reason.NO_RULE_ALLOWS, Reason.RULE_SUSPENDED}:
            names = ends.port_names(target, number, protocol)
            call = Call(world, half.direction, governed, other, protocol, number, names)
            lines += _hints(half, effective(governed.namespace), call)
    return verdict, tuple(lines)


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
        return (f"  {rule.suspended_by} overlaps it in a way that no NetworkPolicy can express",)
    misses = near_misses(policy, call)
    words = {"governed": _name(call.governed), "other": _name(call.other)}
    lines = [
        f"  {miss.rule.ref} comes close, {_MISSED[miss.missed].format(**words, ports=_ports(miss.rule.ports))}"
        for miss in misses[:MANY]
    ]
    if len(misses) > MANY:
        lines.append(f"  and {len(misses) - MANY} more rules")
    return lines


#: What needs the call or the pod filled in; rules that decided speak for themselves.
_SENTENCES: Final = {
    Reason.NOT_GOVERNED: "no policy governs {where}",
    Reason.NOT_ENROLLED: "the namespace of {where} is not enrolled",
    Reason.NOT_CLOSED: "the network of {where} is not closed",
    Reason.ALLOWED_INSIDE: "no policy lists the egress of {where}, so calls inside are up to the target",
    Reason.NO_RULE_ALLOWS: "no {direction} rule for {where} allows {call}",
    Reason.RULE_SUSPENDED: "{rule} would allow {call}, but it is suspended",
    Reason.ALLOWED_BUILTIN: "{service} is always open",
    Reason.ALLOWED_BY_RULE: "{rule}",
    Reason.DENIED_BY_RULE: "{rule}",
}


def _sentence(half: Half, governed: End, other: End, protocol: Protocol, port: int) -> str:
    said = _SENTENCES[half.reason].format(
        where=_name(governed),
        direction=half.direction,
        call=_call(half.direction, other, protocol, port),
        rule=half.rule,
        service=half.rule.rule if half.rule is not None else "",
    )
    return f"{half.direction} {'allowed' if half.allowed else 'denied'}: {said}{_would(half)}"


def _would(half: Half) -> str:
    """What policies in mode Audit would change."""
    if half.audit is None:
        return ""
    by = f" by {half.audit_rule}" if half.audit_rule is not None else ""
    return f" (would be {'allowed' if half.audit else 'denied'}{by} if all were enforced)"


def _call(direction: Direction, other: End, protocol: Protocol, port: int) -> str:
    ends_ = f"{_name(other)} on" if direction is Direction.INGRESS else f"calls to {_name(other)} on"
    return f"{ends_} {protocol} {port}"


def _name(end: End) -> str:
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def _ports(ports: PortSet) -> str:
    if ports.everything:
        return "every port"
    spans = [f"{r.protocol} {r.first}" + (f"-{r.last}" if r.last > r.first else "") for r in ports.ranges]
    return ", ".join([*spans, *(f"{named.protocol} {named.name}" for named in ports.names)])
