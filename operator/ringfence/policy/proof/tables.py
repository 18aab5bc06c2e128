"""Whom the pods of a party let in, and whom they may call, on which ports: rules read once, answers by look-up.

Parties are numbered, and a set of them is a whole number whose bits they are: what a rule says of thousands of callers
is then one operation. An answer is given twice where something is not known, such as the address that a pod will have:
once as if it were in favour of the call, once as if it were against it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Action, Mode
from ringfence.model.spans import ALL, NONE, Spans
from ringfence.model.world import World
from ringfence.policy import decide, tunnels
from ringfence.policy.algebra.diagram import EVERYTHING, Diagram
from ringfence.policy.builtins import is_inside
from ringfence.policy.proof import asked
from ringfence.policy.proof.parties import Party
from ringfence.policy.proof.ports import EVERY, NAMELESS, Names, namings, spans

#: Parties as bits.
Mask = int


@dataclass(frozen=True, slots=True)
class Others:
    """The other ends that a rule names: parties surely and perhaps, and addresses outside."""

    surely: Mask
    perhaps: Mask
    addresses: Spans


@dataclass(frozen=True, slots=True)
class Opening:
    """Ports that are open to the same others: to ``surely`` for certain, to ``perhaps`` as far as can be known."""

    ports: Spans
    surely: Mask
    perhaps: Mask
    addresses: Spans


class Index:
    """The parties of a world, and which of them a peer names."""

    def __init__(self, world: World, parties: Sequence[Party]) -> None:
        self.world = world
        self.parties = tuple(parties)
        self.everyone: Mask = (1 << len(self.parties)) - 1
        self._by_namespace: dict[str, list[int]] = defaultdict(list)
        self._by_account: dict[tuple[str, str], Mask] = defaultdict(int)
        for number, party in enumerate(self.parties):
            self._by_namespace[party.pod.namespace].append(number)
            account = party.pod.labels.get(LABEL_IDENTITY)
            if account is not None:
                self._by_account[party.pod.namespace, account] |= 1 << number
        self._spaces: dict[LabelBox, tuple[str, ...]] = {}
        self._others: dict[tuple[EffectivePeer, ...], Others] = {}

    def mask(self, namespace: str) -> Mask:
        """The parties of a namespace."""
        return sum(1 << number for number in self._by_namespace.get(namespace, ()))

    def bits(self, mask: Mask) -> Iterable[int]:
        """The numbers of the parties of a mask, in order."""
        while mask:
            low = mask & -mask
            yield low.bit_length() - 1
            mask ^= low

    def others(self, peers: tuple[EffectivePeer, ...]) -> Others:
        """Whom the peers of a rule name."""
        if peers not in self._others:
            surely, perhaps, addresses = 0, 0, NONE
            for peer in peers:
                one = self._peer(peer)
                surely, perhaps, addresses = surely | one.surely, perhaps | one.perhaps, addresses | one.addresses
            self._others[peers] = Others(surely, perhaps, addresses)
        return self._others[peers]

    def _peer(self, peer: EffectivePeer) -> Others:
        match peer:
            case Everyone():
                return Others(self.everyone, self.everyone, ALL)
            case PodPeers():
                found = self._pods(peer)
                return Others(found, found, NONE)
            case Unidentified():
                return self._asked(peer, ALL)
            case AddressPeers(addresses, covers_pods):
                outside = Spans.of_set(addresses)
                return self._asked(peer, outside) if covers_pods else Others(0, 0, outside)

    def _asked(self, peer: EffectivePeer, outside: Spans) -> Others:
        """By a question about each party."""
        surely, perhaps = 0, 0
        for number, party in enumerate(self.parties):
            answer = decide.matches(peer, party.pod, self.world)
            surely |= (answer is True) << number
            perhaps |= (answer is not False) << number
        return Others(surely, perhaps, outside)

    def _pods(self, peer: PodPeers) -> Mask:
        if peer.namespaces not in self._spaces:
            known = self.world.namespaces
            matching = (name for name in self._by_namespace if peer.namespaces.matches(known[name].labels))
            self._spaces[peer.namespaces] = tuple(matching)
        places = self._spaces[peer.namespaces]
        accounts = peer.pods.get(LABEL_IDENTITY)
        if len(peer.pods.conditions) == 1 and not accounts.complement and not accounts.absent:
            return union(self._by_account.get((place, each), 0) for place in places for each in accounts.values)
        numbers = (number for place in places for number in self._by_namespace[place])
        return sum(1 << each for each in numbers if peer.pods.matches(self.parties[each].pod.labels))


def union(masks: Iterable[Mask]) -> Mask:
    """The parties that are in any of the masks."""
    found = 0
    for mask in masks:
        found |= mask
    return found


@dataclass(slots=True)
class Half:
    """What one end says of its calls: ``rules`` in force for it, None where nothing governs it.

    ``names`` are the ports' names that its rules ask for.
    """

    index: Index
    rules: tuple[EffectiveRule, ...] | None
    names: Names = field(init=False, default=NAMELESS)
    #: Those of its rules that are about some requests.
    about_requests: tuple[EffectiveRule, ...] = field(init=False, default=())
    _asks: bool = field(init=False, default=False)
    _openings: dict[tuple[Names, bool, Diagram | None], tuple[Opening, ...]] = field(default_factory=dict)
    _anyone: Mask | None = None

    def __post_init__(self) -> None:
        if any(rule.requests is not None and rule.requests.tunnels for rule in self.rules or ()):
            self.rules = tuple(map(tunnels.told_apart, self.rules or ()))
        self.names = frozenset(name for rule in self.rules or () for name in rule.ports.names)
        self.about_requests = tuple(rule for rule in self.rules or () if rule.requests is not None)
        self._asks = bool(self.about_requests) or any(rule.hosts for rule in self.rules or ())

    @property
    def anyone(self) -> Mask:
        """The parties that may be let through on some port, whatever it is called."""
        if self._anyone is None:
            every = namings(self.names)
            self._anyone = union(each.perhaps for naming in every for each in self.openings(naming))
        return self._anyone

    def openings(self, naming: Names, *, whole: bool = False, about: Diagram | None = None) -> tuple[Opening, ...]:
        """What is open on ports with these names: ports that are not in two openings, none that is open to nobody.

        Open is what some request may use; with ``whole`` what every request may, and what carries bytes. With ``about``
        only these requests count.
        """
        key = (naming & self.names, whole and self._asks, about if self.about_requests else None)
        if key not in self._openings:
            self._openings[key] = self._open(*key)
        return self._openings[key]

    def passing(self, naming: Names, port: Spans, other: Mask | Spans, *, hopeful: bool) -> Diagram:
        """What the other end may send to a port with these names; ``hopeful``: what is not known counts for it."""
        if self.rules is None:
            return EVERYTHING
        rules = [rule for rule in self.rules if not (spans(rule.ports, naming & self.names) & port).empty]
        return asked.passing(rule for rule in rules if self._names(rule, other, hopeful=hopeful))

    def _names(self, rule: EffectiveRule, other: Mask | Spans, *, hopeful: bool) -> bool:
        if isinstance(other, Spans):
            return not (self.index.others(rule.peers).addresses & other).empty
        return bool(self._mask(rule, hopeful=hopeful) & other)

    def _mask(self, rule: EffectiveRule, *, hopeful: bool) -> Mask:
        """The parties that a rule names: perhaps where that counts for the call, surely where it counts against it."""
        others = self.index.others(rule.peers)
        return others.perhaps if hopeful is (rule.action is Action.ALLOW) else others.surely

    def _open(self, naming: Names, whole: bool, about: Diagram | None) -> tuple[Opening, ...]:
        everyone = self.index.everyone
        if self.rules is None:
            return (Opening(EVERY, everyone, everyone, ALL),)
        # As decide says of a call whose request is not named, and of one in which nobody sees a request.
        counts = Action.DENY if whole else Action.ALLOW
        rules = (r for r in self.rules if about is not None or r.requests is None or r.action is counts)
        read = [(rule, spans(rule.ports, naming)) for rule in rules]
        found: dict[tuple[Mask, Mask, Spans], list[Spans]] = {}
        for part in _parts(ports for _, ports in read):
            key = self._judge([rule for rule, ports in read if not (ports & part).empty], whole, about)
            if key[1] or not key[2].empty:
                found.setdefault(key, []).append(part)
        return tuple(
            Opening(Spans.of(span for part in parts for span in part.spans), *key) for key, parts in found.items()
        )

    def _judge(self, rules: Sequence[EffectiveRule], whole: bool, about: Diagram | None) -> tuple[Mask, Mask, Spans]:
        """Those whom these rules let through: Deny wins over Allow, what is always open over both.

        With ``whole`` hosts that are allowed by name open no address, since not every host there is meant.
        """
        if about is not None and any(rule.requests is not None for rule in rules):
            return self._about(rules, about, whole=whole)
        always = allowed = denied = _NOBODY
        for rule in rules:
            others = self.index.others(rule.others if whole else rule.peers)
            if rule.builtin:
                always = _both(always, others)
            elif rule.action is Action.DENY:
                denied = _both(denied, others)
            elif rule.suspended_by is None:
                allowed = _both(allowed, others)
        return (
            always.surely | (allowed.surely & ~denied.perhaps),
            always.perhaps | (allowed.perhaps & ~denied.surely),
            always.addresses | (allowed.addresses - denied.addresses),
        )

    def _about(self, rules: Sequence[EffectiveRule], about: Diagram, *, whole: bool) -> tuple[Mask, Mask, Spans]:
        """The same, where some of the rules tell requests apart."""
        always = union_of(self.index.others(rule.peers) for rule in rules if rule.builtin)
        rest = [rule for rule in rules if not rule.builtin and rule.suspended_by is None]
        surely, perhaps = (
            asked.parties(
                [(rule, self._mask(rule, hopeful=hopeful)) for rule in rest], self.index.everyone, about, whole=whole
            )
            for hopeful in (False, True)
        )
        outside = asked.addresses([(r, self.index.others(r.peers).addresses) for r in rest], about, whole=whole)
        return always.surely | surely, always.perhaps | perhaps, always.addresses | outside


_NOBODY: Final = Others(0, 0, NONE)


def union_of(several: Iterable[Others]) -> Others:
    """All of them together."""
    found = _NOBODY
    for each in several:
        found = _both(found, each)
    return found


def _both(one: Others, other: Others) -> Others:
    return Others(one.surely | other.surely, one.perhaps | other.perhaps, one.addresses | other.addresses)


def _parts(sets: Iterable[Spans]) -> list[Spans]:
    """Every port cut into parts such that each set holds a part as a whole or not at all."""
    starts = {kind: {first} for kind, first, _ in EVERY.spans}
    for ports in set(sets):
        for kind, first, last in ports.spans:
            starts[kind] |= {first, last + 1}
    parts = []
    for kind, first, end in EVERY.spans:
        cuts = sorted(cut for cut in starts[kind] if first <= cut <= end)
        parts += [
            Spans(((kind, cut, following - 1),)) for cut, following in zip(cuts, [*cuts[1:], end + 1], strict=True)
        ]
    return parts


class Halves:
    """The halves of the parties of one namespace; parties that the same rules govern share one."""

    def __init__(self, index: Index, policy: EffectivePolicy) -> None:
        self._index = index
        self.policy = policy
        self._made: dict[object, Half] = {}

    def of(self, direction: Direction, labels: Mapping[str, str]) -> Half:
        """What pods with these labels say of calls in this direction."""
        rules = self._rules(direction, labels)
        key = rules if rules is None else tuple(map(id, rules))
        if key not in self._made:
            self._made[key] = Half(self._index, rules)
        return self._made[key]

    def _rules(self, direction: Direction, labels: Mapping[str, str]) -> tuple[EffectiveRule, ...] | None:
        policy = self.policy
        if not policy.closed:
            return None
        listed = direction is Direction.EGRESS and any(box.matches(labels) for box in policy.egress_listed)
        return tuple(
            rule
            for rule in policy.rules
            if rule.direction is direction
            and rule.mode is Mode.ENFORCE
            and not (listed and is_inside(rule.ref))
            and rule.subject.matches(labels)
        )
