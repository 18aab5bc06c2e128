"""May this call be made? The meaning of the policies, said directly: no subtraction, no selectors.

Translators reach the same answer another way, and the tests hold the two against each other.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

from ringfence.model import hosts
from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectivePolicy,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
    Unidentified,
)
from ringfence.model.errors import CannotTell
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.net import IpSet
from ringfence.model.requests import Asked, Opaque, Request
from ringfence.model.resources import MTLS, Action, Mode, Protocol
from ringfence.model.spans import Spans
from ringfence.model.verdict import Half, Reason, Verdict
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import ends, requests, tunnels
from ringfence.policy.builtins import is_inside
from ringfence.policy.ends import Address, Called, End, Host
from ringfence.policy.peers import ENROLLED, names_identities, outside
from ringfence.policy.transport import transport_of

Effective = Callable[[str], EffectivePolicy]


@dataclass(frozen=True, slots=True)
class Call:
    """A call as one end sees it: the pod that is governed, the other end, and the port at the target."""

    world: World
    direction: Direction
    governed: Workload
    other: Called
    protocol: Protocol
    port: int
    names: frozenset[str]
    #: The caller shows no identity to a target that demands one.
    unproven: bool = False
    #: What is sent, of calls that come in.
    request: Asked = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rules say of a call."""

    allowed: bool
    reason: Reason
    rule: RuleRef | None = None


def decide(  # noqa: PLR0913 (a call is all of that)
    world: World,
    effective: Effective,
    source: End,
    target: Called,
    protocol: Protocol,
    port: int | str,
    *,
    plaintext: bool = False,
    request: Asked = None,
) -> Verdict:
    """Judge a call from ``source`` to ``port`` (a number or a name of the target's) of ``target``.

    ``effective`` gives the policy of a namespace. With ``plaintext`` the call is made without mutual TLS: where the
    transport is Strict its caller has no identity, whatever pod it is. Without, an end that has an identity shows it,
    and the answer is that of the network too. ``request`` is what is sent: without it a call is allowed when some
    request is. Raises CannotTell when the answer rests on something unknown, such as
    the address of a pod that does not run yet.
    """
    source, target = ends.locate(world, source), ends.called(world, target)
    number = port if isinstance(port, int) else ends.port_number(target, port, protocol)
    names = ends.port_names(target, number, protocol)

    def half(direction: Direction, governed: Called, other: Called) -> Half:
        if not isinstance(governed, Workload) or governed.host_network:
            return Half(direction, allowed=True, reason=Reason.NOT_GOVERNED)
        policy = effective(governed.namespace)
        demands = direction is Direction.INGRESS and transport_of(policy, governed.labels) is MTLS.STRICT
        sent = request if direction is Direction.INGRESS else None
        call = Call(world, direction, governed, other, protocol, number, names, plaintext and demands, sent)
        return _half(policy, call)

    return Verdict(egress=half(Direction.EGRESS, source, target), ingress=half(Direction.INGRESS, target, source))


def _half(policy: EffectivePolicy, call: Call) -> Half:
    if policy.enrolment is Enrolment.NONE:
        return Half(call.direction, allowed=True, reason=Reason.NOT_ENROLLED)
    if isinstance(call.request, Request) and requests.refused(call.request):
        return Half(call.direction, allowed=False, reason=Reason.REQUEST_REFUSED)
    if not policy.closed and _tunnel(call) and not tunnels.named(_on_port(policy, call)):
        return Half(call.direction, allowed=False, reason=Reason.REQUEST_REFUSED)
    if not policy.closed:
        would = judge(policy, call, audit=True)
        audit = None if would.allowed else False
        return Half(
            call.direction,
            allowed=True,
            reason=Reason.NOT_CLOSED,
            audit=audit,
            audit_rule=None if would.allowed else would.rule,
        )
    outcome = judge(policy, call)
    audit, audit_rule = None, None
    if policy.egress_listed_audit or any(rule.mode is Mode.AUDIT for rule in policy.rules):
        would = judge(policy, call, audit=True)
        if would.allowed != outcome.allowed:
            audit, audit_rule = would.allowed, would.rule
    return Half(call.direction, outcome.allowed, outcome.reason, outcome.rule, audit, audit_rule)


def judge(policy: EffectivePolicy, call: Call, *, audit: bool = False) -> Outcome:
    """What the rules of one end say, as if the namespace were closed; with ``audit`` also those in mode Audit."""
    worst = _judge(policy, call, audit=audit, hopeful=False)
    best = _judge(policy, call, audit=audit, hopeful=True)
    if worst.allowed != best.allowed:
        rests = f"addresses of {call.other.name}" if isinstance(call.other, Host) else "address of a pod"
        known = "are" if isinstance(call.other, Host) else "is"
        raise CannotTell(
            f"{call.direction} of {call.governed.namespace}/{call.governed.name}: the answer depends on the {rests}, "
            f"which {known} not known"
        )
    return worst


def _judge(policy: EffectivePolicy, call: Call, *, audit: bool, hopeful: bool) -> Outcome:
    """Deny wins over Allow, Allow over the default. What cannot be known counts for the call if ``hopeful``."""
    governing = list(_governing(policy, call, audit=audit, hopeful=hopeful))
    for rule in governing:
        if rule.builtin and not _tunnel(call):
            return Outcome(allowed=True, reason=Reason.ALLOWED_BUILTIN, rule=rule.ref)
        if rule.builtin:
            return Outcome(allowed=False, reason=Reason.NO_RULE_ALLOWS)
    if _unclear(governing, call, audit=audit):
        return Outcome(allowed=False, reason=Reason.REQUEST_UNCLEAR)
    # What is allowed whatever is sent comes first.
    matching = sorted((r for r in governing if _asked(r, call)), key=lambda rule: rule.requests is not None)
    for rule in matching:
        if rule.action is Action.DENY:
            return Outcome(allowed=False, reason=Reason.DENIED_BY_RULE, rule=rule.ref)
    return _allowed(matching, call, audit=audit) or _default(policy, call, audit=audit, hopeful=hopeful)


def _allowed(matching: list[EffectiveRule], call: Call, *, audit: bool) -> Outcome | None:
    """By which of the Allows that match a call is allowed, or which is held back; None without any."""
    suspended, some = None, None
    for rule in matching:
        if _is_suspended(rule, audit=audit):
            suspended = suspended or rule.ref
        elif _hosts_only(rule, call):
            some = some or rule.ref
        elif is_inside(rule.ref):
            return Outcome(allowed=True, reason=Reason.ALLOWED_INSIDE)
        elif rule.requests is not None and call.request is None:
            return Outcome(allowed=True, reason=Reason.ALLOWED_FOR_REQUESTS, rule=rule.ref)
        else:
            return Outcome(allowed=True, reason=Reason.ALLOWED_BY_RULE, rule=rule.ref)
    if some is not None:
        return Outcome(allowed=True, reason=Reason.ALLOWED_FOR_HOSTS, rule=some)
    return None if suspended is None else Outcome(allowed=False, reason=Reason.RULE_SUSPENDED, rule=suspended)


def _hosts_only(rule: EffectiveRule, call: Call) -> bool:
    """Whether a rule allows a call to an address as far as a host of some name is there."""
    if isinstance(call.other, Host) or not rule.hosts:
        return False
    return not any(matches(peer, call.other, call.world) for peer in rule.others)


def _default(policy: EffectivePolicy, call: Call, *, audit: bool, hopeful: bool) -> Outcome:
    """Nothing matches: denied, and why where an identity would have helped."""
    if call.unproven:
        proven = _judge(policy, replace(call, unproven=False), audit=audit, hopeful=hopeful)
        if proven.allowed:
            return Outcome(allowed=False, reason=Reason.NEEDS_MUTUAL_TLS, rule=proven.rule)
    return Outcome(allowed=False, reason=Reason.NO_RULE_ALLOWS)


def _is_suspended(rule: EffectiveRule, *, audit: bool) -> bool:
    return (rule.suspended_in_audit if audit else rule.suspended_by) is not None


def _unclear(governing: list[EffectiveRule], call: Call, *, audit: bool) -> bool:
    if not isinstance(call.request, Request):
        return False
    in_force = (rule.requests for rule in governing if not _is_suspended(rule, audit=audit))
    return requests.unclear(call.request, (each for each in in_force if each is not None))


def _asked(rule: EffectiveRule, call: Call) -> bool:
    """Whether a rule is about what is sent.

    Of a port that carries bytes nobody can say; there an Allow of some requests allows none and a Deny denies all.
    """
    match rule.requests, call.request:
        case None, _:
            return not _tunnel(call) or rule.action is Action.DENY
        case _, None:
            return rule.action is Action.ALLOW
        case _, Opaque():
            return rule.action is Action.DENY
        case wanted, Request() as request:
            return requests.matches(wanted, request, rule.action)
    raise AssertionError(call.request)


def _tunnel(call: Call) -> bool:
    return isinstance(call.request, Request) and call.request.tunnel


def _on_port(policy: EffectivePolicy, call: Call) -> Iterator[EffectiveRule]:
    """The rules about the port of the governed pod, whoever calls."""
    for rule in policy.rules:
        if rule.direction is not call.direction or not rule.subject.matches(call.governed.labels):
            continue
        if rule.ports.contains(call.protocol, call.port, call.names):
            yield rule


def _governing(policy: EffectivePolicy, call: Call, *, audit: bool, hopeful: bool) -> Iterator[EffectiveRule]:
    listed = call.direction is Direction.EGRESS and _listed(policy, call, audit=audit)
    for rule in policy.rules:
        if rule.direction is not call.direction or (rule.mode is Mode.AUDIT and not audit):
            continue
        if listed and is_inside(rule.ref):
            continue
        if not rule.subject.matches(call.governed.labels):
            continue
        if not rule.ports.contains(call.protocol, call.port, call.names):
            continue
        if _any_peer(rule, call, unknown=hopeful == (rule.action is Action.ALLOW)):
            yield rule


def _listed(policy: EffectivePolicy, call: Call, *, audit: bool) -> bool:
    boxes = (*policy.egress_listed, *policy.egress_listed_audit) if audit else policy.egress_listed
    return any(box.matches(call.governed.labels) for box in boxes)


def _any_peer(rule: EffectiveRule, call: Call, *, unknown: bool) -> bool:
    for peer in rule.peers:
        answer = matches(peer, call.other, call.world, unproven=call.unproven)
        if unknown if answer is None else answer:
            return True
    # Networks may hold every address that a name can lead to only together.
    return isinstance(call.other, Host) and _leads(rule.peers, call.world) is True


def matches(  # noqa: PLR0911 (one for each kind)
    peer: EffectivePeer, end: Called, world: World, *, unproven: bool = False
) -> bool | None:
    """Whether ``end`` is one of ``peer``; None when that rests on an address that is not known.

    ``unproven``: whatever identity it has, it does not show it.
    """
    on_pod_network = isinstance(end, Workload) and not end.host_network
    match peer:
        case Everyone():
            return True
        case Unidentified():
            return unproven or not (isinstance(end, Workload) and on_pod_network and _identified(end, world))
        case PodPeers(namespaces, pods):
            if not isinstance(end, Workload) or not on_pod_network or (unproven and names_identities(peer)):
                return False
            return namespaces.matches(ends.namespace_labels(world, end.namespace)) and pods.matches(end.labels)
        case AddressPeers(addresses, covers_pods, named):
            if isinstance(end, Host):
                return any(hosts.matches(each, end.name) for each in named) if named else _leads((peer,), world)
            if on_pod_network and not covers_pods:
                return False
            return _has_address(end, addresses)


def _identified(pod: Workload, world: World) -> bool:
    return ends.namespace_labels(world, pod.namespace).get(LABEL_ENROLL) in ENROLLED and LABEL_IDENTITY in pod.labels


def _has_address(end: End, addresses: IpSet) -> bool | None:
    known = (end.ip,) if isinstance(end, Address) else end.ips
    if not known:
        return None
    return any(str(ipaddress.ip_address(ip)) in addresses for ip in known)


def _leads(peers: Iterable[EffectivePeer], world: World) -> bool | None:
    """Whether a name leads to addresses of ``peers``: certainly, never, or (None) perhaps."""
    plain = (peer for peer in peers if isinstance(peer, AddressPeers) and not peer.hosts)
    named = reduce(lambda one, other: one | other, (Spans.of_set(peer.addresses) for peer in plain), Spans())
    anywhere = Spans.of_set(outside(world.installation))
    if (named & anywhere).empty:
        return False
    return True if (anywhere - named).empty else None
