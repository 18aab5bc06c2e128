"""One world of those that are compared, with all its calls as sets: what each kind of ends lets in and may call."""

import ipaddress
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectivePolicy,
    EffectiveRule,
    Everyone,
    PodPeers,
    Unidentified,
)
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.net import IpSet
from ringfence.model.resources import Action, Mode
from ringfence.model.world import Enrolment, Workload, World
from ringfence.policy import decide, ends, tunnels
from ringfence.policy.algebra import dimensions
from ringfence.policy.algebra.diagram import EVERYTHING, Diagram, Dimension, cube, intersect, split, subtract, union
from ringfence.policy.algebra.ports import Names, Ports
from ringfence.policy.algebra.values import Members
from ringfence.policy.builtins import is_inside
from ringfence.policy.ends import End
from ringfence.policy.reasoning import sent
from ringfence.policy.reasoning.addresses import spans_of
from ringfence.policy.reasoning.kinds import Kinds

TARGET: Final = "target"
SOURCE: Final = "source"
_TUNNEL: Final = cube([(dimensions.METHOD, dimensions.TUNNEL)])

#: What the rules of a pod say of its calls: (rule, bits of the other ends that it names).
Stated = tuple[tuple[EffectiveRule, int], ...]


def requests_of(rule: EffectiveRule, names: Names) -> Diagram:
    """The requests that a rule names, whoever sends them, to a target with these names of ports."""
    on_ports = cube([(dimensions.PORT, Ports.at(rule.ports, names))])
    if rule.hosts and not rule.others:
        on_ports = intersect(on_ports, sent.to_hosts(tuple(name for peer in rule.hosts for name in peer.hosts)))
    asked = sent.told_apart if rule.tunnels else sent.named
    return intersect(on_ports, asked(rule.requests, rule.action is Action.DENY))


def open_to_tunnels(policy: EffectivePolicy, labels: Mapping[str, str], names: Names) -> Diagram:
    """The ports of a pod whose proxy passes CONNECT on where nothing is closed: those of rules that name it."""
    governing = [r for r in policy.rules if r.direction is Direction.INGRESS and r.subject.matches(labels)]

    def of(rules: Iterable[EffectiveRule]) -> Diagram:
        return union(cube([(dimensions.PORT, Ports.at(rule.ports, names))]) for rule in rules)

    return subtract(of(filter(tunnels.names, governing)), of(rule for rule in governing if rule.builtin))


def _parts(rule: EffectiveRule) -> tuple[EffectiveRule, ...]:
    """The rule, or what it says of hosts by their names and what of other ends."""
    # Few rules name hosts, and most are asked in vain: a look at each peer is faster than what the rule would work out.
    for peer in rule.peers:
        if type(peer) is AddressPeers and peer.hosts and rule.others:
            return replace(rule, peers=rule.others), replace(rule, peers=rule.hosts)
    return (rule,)


@dataclass(frozen=True)
class Axes:
    """The dimensions of ends, each over all kinds."""

    source: Dimension
    target: Dimension

    @classmethod
    def of(cls, kinds: Kinds) -> "Axes":
        """Those over ``kinds``."""
        everyone = Members((1 << len(kinds.all)) - 1)
        return cls(Dimension(1, SOURCE, everyone), Dimension(0, TARGET, everyone))


@dataclass
class Side:
    """The policies of one world, asked about kinds of ends; what it has worked out it keeps.

    With ``audit`` the answers are those that would hold if every enrolled namespace were closed and every policy
    enforced. ``matters`` says whether a peer of a rule in this direction may name an end that is asked about: of those
    that do not, it is not worked out whom they name.
    """

    world: World
    effective: Callable[[str], EffectivePolicy]
    kinds: Kinds
    audit: bool = False
    matters: Callable[[Direction, EffectivePeer], bool] | None = None
    _peers: dict[EffectivePeer, int] = field(default_factory=dict, init=False)
    #: The same by which object a peer is, which is kept beside: most rules share theirs with others.
    _known: dict[int, tuple[EffectivePeer, int]] = field(default_factory=dict, init=False)
    _leaving: dict[tuple[Stated, Names], Diagram] = field(default_factory=dict, init=False)
    _arriving: dict[int, Diagram] = field(default_factory=dict, init=False)
    #: By namespace, and whether it is egress.
    _stated: dict[tuple[str, bool], Mapping[int, Stated] | None] = field(default_factory=dict, init=False)

    @cached_property
    def axes(self) -> Axes:
        return Axes.of(self.kinds)

    @cached_property
    def ends(self) -> tuple[End | None, ...]:
        """One end of each kind as it is in this world; None where there can be none."""
        return tuple(self._end(number) for number in range(len(self.kinds.all)))

    @cached_property
    def there(self) -> int:
        """Bits of the kinds of which there can be an end."""
        return _bits(number for number, end in enumerate(self.ends) if end is not None)

    def _end(self, number: int) -> End | None:
        kind = self.kinds.all[number]
        if kind.pod is None:
            return kind.end(enrolled=False) if kind.address else None
        known = self.world.namespaces.get(kind.namespace)
        if known is None and kind.namespace not in self.kinds.nowhere:
            return None
        return kind.end(enrolled=known is not None and known.enrolment is not Enrolment.NONE)

    # --- who is named ------------------------------------------------------------------------------------------------

    def named(self, peers: Iterable[EffectivePeer]) -> int:
        """Bits of the ends that any of ``peers`` names."""
        found = 0
        for peer in peers:
            known = self._known.get(id(peer))
            if known is None:
                if peer not in self._peers:
                    self._peers[peer] = self._named(peer) & self.there
                known = self._known[id(peer)] = (peer, self._peers[peer])
            found |= known[1]
        return found

    def _named(self, peer: EffectivePeer) -> int:
        match peer:
            case Everyone():
                return self.there
            case Unidentified():
                return _bits(n for n, end in enumerate(self.ends) if end and decide.matches(peer, end, self.world))
            case PodPeers():
                return _bits(self._pods(peer))
            case AddressPeers(addresses, covers_pods):
                found = _bits(self.kinds.addresses.numbers(addresses, self.kinds.first_address))
                return found | _bits(self._at(addresses)) if covers_pods else found

    def _pods(self, peer: PodPeers) -> Iterator[int]:
        wanted = peer.pods.get(LABEL_IDENTITY)
        only_identity = [key for key, _ in peer.pods.conditions] == [LABEL_IDENTITY]
        by_account = only_identity and not wanted.complement and not wanted.absent
        for namespace in self._namespaces(peer.namespaces):
            if by_account:
                for account in wanted.values:
                    yield from self._by_account.get((namespace, account), ())
                continue
            for number in self.kinds.by_namespace.get(namespace, ()):
                end = self.ends[number]
                if isinstance(end, Workload) and peer.pods.matches(end.labels):
                    yield number

    def _namespaces(self, box: LabelBox) -> Iterator[str]:
        values = box.get(LABEL_NAMESPACE_NAME)
        names = self.kinds.by_namespace if values.complement or values.absent else sorted(values.values)
        for name in names:
            if box.matches(ends.namespace_labels(self.world, name)):
                yield name

    @cached_property
    def _by_account(self) -> Mapping[tuple[str, str], list[int]]:
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, end in enumerate(self.ends):
            if isinstance(end, Workload) and LABEL_IDENTITY in end.labels:
                found[end.namespace, end.labels[LABEL_IDENTITY]].append(number)
        return found

    @cached_property
    def _addresses(self) -> list[tuple[int, int, int]]:
        """(IP version, address, kind) of pods whose address matters, sorted."""
        pods = ((number, end) for number, end in enumerate(self.ends) if isinstance(end, Workload))
        parsed = ((number, ipaddress.ip_address(ip)) for number, end in pods for ip in end.ips)
        return sorted((ip.version, int(ip), number) for number, ip in parsed)

    def _at(self, addresses: IpSet) -> Iterator[int]:
        for version, first, last in spans_of(addresses).spans:
            low = bisect_left(self._addresses, (version, first, -1))
            high = bisect_right(self._addresses, (version, last + 1, -1))
            yield from (number for _, _, number in self._addresses[low:high])

    # --- what rules say ----------------------------------------------------------------------------------------------

    def stated(self, number: int, direction: Direction) -> Stated | None:
        """The rules that govern the calls of a kind of pods in one direction; None where nothing governs them."""
        end = self.ends[number]
        if not isinstance(end, Workload):
            return None
        key = (end.namespace, direction is Direction.EGRESS)
        if key not in self._stated:
            self._stated[key] = self._state(end.namespace, direction)
        there = self._stated[key]
        return None if there is None else there.get(number, ())

    def _state(self, namespace: str, direction: Direction) -> Mapping[int, Stated] | None:
        """What rules state of each kind of pods of a namespace, in their order; None where it is open."""
        policy = self.effective(namespace)
        closed = policy.enrolment is not Enrolment.NONE if self.audit else policy.closed
        if not closed:
            return None
        egress = direction is Direction.EGRESS
        listed = frozenset(self._listed(policy)) if egress else frozenset[int]()
        apart = self.kinds.named.tunnels
        found: dict[int, list[tuple[EffectiveRule, int]]] = defaultdict(list)
        for rule in policy.rules:
            if rule.direction is not direction or not (self.audit or rule.mode is Mode.ENFORCE):
                continue
            pods = self._governed(namespace, rule.subject)
            if listed and is_inside(rule.ref):
                pods = [number for number in pods if number not in listed]
            if pods:
                stated = tunnels.told_apart(rule) if apart else rule
                says = [(part, self.named(self._mattering(direction, part))) for part in _parts(stated)]
                for number in pods:
                    found[number] += says
        return {number: tuple(says) for number, says in found.items()}

    def _mattering(self, direction: Direction, rule: EffectiveRule) -> Iterable[EffectivePeer]:
        matters = self.matters
        return rule.peers if matters is None else [peer for peer in rule.peers if matters(direction, peer)]

    def _governed(self, namespace: str, subject: LabelBox) -> list[int]:
        """The kinds of pods of a namespace that a rule of it governs."""
        accounts = subject.get(LABEL_IDENTITY)
        if accounts.complement or accounts.absent:
            numbers: Iterable[int] = self.kinds.by_namespace.get(namespace, ())
        elif len(subject.conditions) == 1:
            return [n for each in accounts.values for n in self._by_account.get((namespace, each), ())]
        else:
            numbers = (n for each in accounts.values for n in self._by_account.get((namespace, each), ()))
        ends_ = ((number, self.ends[number]) for number in numbers)
        return [number for number, end in ends_ if isinstance(end, Workload) and subject.matches(end.labels)]

    def _listed(self, policy: EffectivePolicy) -> Iterator[int]:
        """The kinds of pods of a namespace of which a policy lists the egress."""
        boxes = (*policy.egress_listed, *policy.egress_listed_audit) if self.audit else policy.egress_listed
        return (number for box in boxes for number in self._governed(policy.namespace, box))

    def allows(self, rule: EffectiveRule) -> bool:
        """Whether an Allow is in force."""
        return rule.action is Action.ALLOW and (rule.suspended_in_audit if self.audit else rule.suspended_by) is None

    def let_in(self, number: int) -> Diagram:
        """Source and request of every call that the rules of a target let in."""
        if number not in self._arriving:
            stated = self.stated(number, Direction.INGRESS)
            names = self.kinds.all[number].names
            found = self.unruled(number) if stated is None else self._open(stated, self.axes.source, names)
            self._arriving[number] = found
        return self._arriving[number]

    def unruled(self, number: int) -> Diagram:
        """What pods take that no rule governs: where CONNECT is told apart, not those that their proxies refuse."""
        end = self.ends[number]
        if not self.kinds.named.tunnels or not isinstance(end, Workload):
            return EVERYTHING
        policy = self.effective(end.namespace)
        if policy.enrolment is Enrolment.NONE:
            return EVERYTHING
        named = open_to_tunnels(policy, end.labels, self.kinds.all[number].names)
        return subtract(EVERYTHING, subtract(_TUNNEL, named))

    def let_out(self, number: int, names: Names) -> Diagram:
        """Target and request of every call that the rules of a source let out, to targets with these names of ports."""
        return self.leaving(self.stated(number, Direction.EGRESS), names)

    def leaving(self, stated: Stated | None, names: Names) -> Diagram:
        """The same of what is stated."""
        if stated is None:
            return EVERYTHING
        key = (stated, names if any(rule.ports.names for rule, _ in stated) else Names())
        if key not in self._leaving:
            self._leaving[key] = self._open(stated, self.axes.target, names)
        return self._leaving[key]

    def _open(self, stated: Stated, others: Dimension, names: Names) -> Diagram:
        """Deny wins over Allow, Allow over the default; what is always open is not asked."""
        always, allowed, denied = [], [], []
        for rule, bits in stated:
            found = split(others, [(Members(bits), requests_of(rule, names))])
            if rule.builtin:
                always.append(found)
            elif rule.action is Action.DENY:
                denied.append(found)
            elif self.allows(rule):
                allowed.append(found)
        return union((*always, subtract(union(allowed), union(denied))))


def _bits(numbers: Iterable[int]) -> int:
    return Members.of(numbers).bits


def union_of(sets: Iterable[int]) -> int:
    """All bits of any of ``sets``."""
    found = 0
    for bits in sets:
        found |= bits
    return found
