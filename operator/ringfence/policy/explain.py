"""What came closest to allowing a denied call, and what holds an Allow back: the second half of an answer to "why?"."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import Direction, EffectivePolicy, EffectiveRule
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked, Asks, HeaderCondition, HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import Action, Mode, Protocol
from ringfence.model.verdict import Half, Reason
from ringfence.model.world import Workload, World
from ringfence.policy import decide, ends, requests, tokens
from ringfence.policy.builtins import is_inside
from ringfence.policy.decide import Call, Effective
from ringfence.policy.ends import Address, End
from ringfence.policy.held import NO_PROXY

#: Reasons to deny of which there is more to say.
_TELLING: Final = frozenset({Reason.NO_RULE_ALLOWS, Reason.RULE_SUSPENDED, Reason.DENIED_BY_RULE})
#: Near misses that are shown; more would hide the one that matters.
MANY: Final = 5
_MISSED: Final = {
    "subject": "but it governs other pods than {governed}",
    "peer": "but it does not name {other}",
    "port": "but only on {ports}",
    "request": "but only for {requests}",
    "bytes": "but only for {requests}, and the port does not speak HTTP as far as Services say",
}


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An Allow that fails to match a call in one thing: ``missed`` is ``subject``, ``peer``, ``port`` or ``request``.

    ``bytes`` is a request that cannot be seen.
    """

    rule: EffectiveRule
    missed: str


def hints(  # noqa: PLR0913, PLR0917 (a call is all of that)
    world: World,
    effective: Effective,
    half: Half,
    source: End,
    target: End,
    protocol: Protocol,
    port: int | str,
    request: Asked = None,
) -> tuple[str, ...]:
    """What a person can do about a half that denies because nothing allows: the rules that came closest, or the Deny
    that holds an Allow back; and what a Deny about tokens misses. Empty for every other half.
    """
    source, target = ends.locate(world, source), ends.locate(world, target)
    governed, other = (source, target) if half.direction is Direction.EGRESS else (target, source)
    if not isinstance(governed, Workload) or half.reason not in _TELLING:
        return ()
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    names = ends.port_names(target, number, protocol)
    sent = request if half.direction is Direction.INGRESS else None
    call = Call(world, half.direction, governed, other, protocol, number, names, request=sent)
    return tuple(_hints(half, effective(governed.namespace), call))


def conditional(
    world: World, effective: Effective, source: End, target: End, protocol: Protocol, port: int | str
) -> tuple[EffectiveRule, ...]:
    """The enforced rules about requests that have a say at the target, Denies first; none where it is not closed."""
    source, target = ends.locate(world, source), ends.locate(world, target)
    if not isinstance(target, Workload) or not (policy := effective(target.namespace)).closed:
        return ()
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    names = ends.port_names(target, number, protocol)
    call = Call(world, Direction.INGRESS, target, source, protocol, number, names)
    found = (
        rule
        for rule in policy.rules
        if rule.requests is not None and rule.direction is call.direction and rule.mode is Mode.ENFORCE
    )
    hit = (rule for rule in found if rule.suspended_by is None and all(said for _, said in _conditions(rule, call)))
    return tuple(sorted(hit, key=lambda rule: (rule.action is Action.ALLOW, rule.ref)))


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
    order = ("request", "bytes", "port", "peer", "subject")
    return tuple(sorted(found, key=lambda miss: (order.index(miss.missed), miss.rule.ref)))


def _conditions(rule: EffectiveRule, call: Call) -> Iterator[tuple[str, bool]]:
    yield "subject", rule.subject.matches(call.governed.labels)
    yield "peer", any(decide.matches(peer, call.other, call.world) for peer in rule.peers)
    yield "port", rule.ports.contains(call.protocol, call.port, call.names)
    if rule.requests is not None and isinstance(call.request, Request):
        yield "request", requests.matches(rule.requests, call.request, rule.action)
    elif rule.requests is not None and isinstance(call.request, Opaque):
        yield "bytes", rule.action is Action.DENY


def _hints(half: Half, policy: EffectivePolicy, call: Call) -> Iterable[str]:
    if half.reason is Reason.DENIED_BY_RULE:
        return _against(next(r for r in policy.rules if r.ref == half.rule and r.direction is half.direction), call)
    if half.reason is Reason.RULE_SUSPENDED:
        rule = next(r for r in policy.rules if r.ref == half.rule and r.direction is half.direction)
        if rule.suspended_by == NO_PROXY:
            return ("it is about requests, which no proxy judges here",)
        return (f"{rule.suspended_by} overlaps it in a way that no NetworkPolicy can express",)
    misses = near_misses(policy, call)
    words = {"governed": _name(call.governed), "other": _name(call.other)}
    lines = [
        f"{miss.rule.ref} comes close, {_MISSED[miss.missed].format(**words, **_of(miss.rule))}{_lacking(miss, call)}"
        for miss in misses[:MANY]
    ]
    if len(misses) > MANY:
        lines.append(f"and {len(misses) - MANY} more rules")
    return lines


def _against(rule: EffectiveRule, call: Call) -> Iterable[str]:
    """What a Deny holds against the token of a request because it is not there."""
    token = rule.requests.token if rule.requests is not None else None
    if token is None or not isinstance(call.request, Request):
        return ()
    said = tokens.lacking(token, call.request)
    return (f"{said}, which a Deny takes for a match",) if said else ()


def _lacking(miss: NearMiss, call: Call) -> str:
    """What the token of the request lacks."""
    token = miss.rule.requests.token if miss.rule.requests is not None else None
    if token is None or miss.missed != "request" or not isinstance(call.request, Request):
        return ""
    said = tokens.missing(token, call.request)
    return f" ({said})" if said else ""


def _of(rule: EffectiveRule) -> dict[str, str]:
    said = requests_in_words(rule.requests) if rule.requests is not None else ""
    return {"ports": _ports(rule.ports), "requests": said}


def requests_in_words(rule: Requests) -> str:
    """The requests that a rule is about: ``POST /charges, /charges/*; with x-env in prod``."""
    http = " or ".join(_http(match) for match in rule.http) or "any request"
    token = f"; with {tokens.in_words(rule.token)}" if rule.token is not None else ""
    return http + token + "".join(f"; with {_condition(each)}" for each in rule.when)


def _http(match: HttpMatch) -> str:
    parts = [", ".join(match.methods), ", ".join(match.paths)]
    parts += [f"at {', '.join(match.hosts)}" if match.hosts else "", "in gRPC" if match.grpc else ""]
    parts.append(f"that change to {', '.join(match.upgrades)}" if match.upgrades else "")
    return " ".join(filter(None, parts))


def _condition(condition: HeaderCondition) -> str:
    if condition.test in {Asks.EXISTS, Asks.ABSENT}:
        return f"{'a' if condition.test is Asks.EXISTS else 'no'} header {condition.header}"
    return f"header {condition.header} {_ASKS[condition.test]} {', '.join(condition.values)}"


_ASKS: Final = {Asks.IN: "in", Asks.NOT_IN: "not in", Asks.PREFIX: "that begins with"}


def _name(end: End) -> str:
    return end.ip if isinstance(end, Address) else f"{end.namespace}/{end.name}"


def _ports(ports: PortSet) -> str:
    if ports.everything:
        return "every port"
    spans = [f"{r.protocol} {r.first}" + (f"-{r.last}" if r.last > r.first else "") for r in ports.ranges]
    return ", ".join([*spans, *(f"{named.protocol} {named.name}" for named in ports.names)])
