"""The policies of a world less the rules that have no say in the calls asked about.

What is left tells fewer ends apart, so they are sorted faster (reasoning.kinds). A rule stays unless it is certain that
it governs none of the ends at one side, or names none at the other.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from ringfence.model.effective import (
    AddressPeers,
    Direction,
    EffectivePeer,
    EffectivePolicy,
    EffectiveRule,
    PodPeers,
)
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Mode
from ringfence.model.world import Workload, World
from ringfence.policy import ends
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End

#: The values of the identity label that pods may have (None among them: they may be without); None: any.
Accounts = frozenset[str | None] | None
_NOBODY: Final[frozenset[str | None]] = frozenset()


@dataclass(frozen=True, slots=True)
class Ends:
    """At least the ends at one side of the calls asked about.

    ``pods`` are the namespaces of pods with their identities; None: pods of every namespace that there can be.
    ``addresses`` says that addresses are among them, which pods in the network of their node are too.
    """

    pods: Mapping[str, Accounts] | None = field(default_factory=dict)
    addresses: bool = False
    #: The identities that are asked about by name: (namespace, ServiceAccount).
    by_name: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, some: Iterable[End]) -> "Ends":
        """These ends, and pods with the same identities."""
        pods: dict[str, Accounts] = {}
        by_name = set()
        addresses = False
        for end in some:
            if not isinstance(end, Workload) or end.host_network:
                addresses = True
                continue
            account, known = end.labels.get(LABEL_IDENTITY), pods.get(end.namespace, frozenset())
            by_name.add((end.namespace, account or end.service_account))
            # Where a namespace is not enrolled a label means nothing, and kinds of its pods are without.
            pods[end.namespace] = None if account is None or known is None else known | {account, None}
        return cls(pods, addresses, frozenset(by_name))

    def governed(self, namespace: str) -> Accounts:
        """The identities of those in a namespace, nobody where none of them can be there."""
        return None if self.pods is None else self.pods.get(namespace, _NOBODY)

    @classmethod
    def in_namespaces(cls, names: Iterable[str]) -> "Ends":
        """All pods of some namespaces, but those in the network of their node."""
        return cls(dict.fromkeys(names))


EVERYONE: Final = Ends(None, addresses=True)
ADDRESSES: Final = Ends(addresses=True)


@dataclass(frozen=True)
class Concerning:
    """What of the enforced policies may have a say in calls from some of ``sources`` to some of ``targets``."""

    world: World
    effective: Effective
    sources: Ends
    targets: Ends
    _policies: dict[str, EffectivePolicy] = field(default_factory=dict, init=False, compare=False)

    @property
    def namespaces(self) -> frozenset[str] | None:
        """The namespaces in which either end may be; None for all."""
        if self.sources.pods is None or self.targets.pods is None:
            return None
        return frozenset({*self.sources.pods, *self.targets.pods})

    def policy(self, namespace: str) -> EffectivePolicy:
        """The policy of a namespace with the rules that may have a say, and without ``traffic``, which has none in
        whether a call is allowed; what else it says stays as it is."""
        if namespace not in self._policies:
            whole = self.effective(namespace)
            self._policies[namespace] = replace(whole, rules=tuple(self._left(whole.rules, namespace)), traffic=())
        return self._policies[namespace]

    def matters(self, direction: Direction, peer: EffectivePeer) -> bool:
        """Whether a peer of a rule in this direction may name an end that is asked about."""
        others = self._sources if direction is Direction.INGRESS else self._targets
        return others.may(peer)

    def _left(self, rules: Iterable[EffectiveRule], namespace: str) -> Iterator[EffectiveRule]:
        into, out_of = self.targets.governed(namespace), self.sources.governed(namespace)
        ingress, egress = into is None or bool(into), out_of is None or bool(out_of)
        sources, targets = self._sources, self._targets
        # Each of all rules is looked at: names that are looked up once make it faster by a third.
        enforce, inwards = Mode.ENFORCE, Direction.INGRESS
        for rule in rules:
            if rule.direction is inwards:
                accounts, others, asked = into, sources, ingress
            else:
                accounts, others, asked = out_of, targets, egress
            if not asked or others.never.issuperset(map(id, rule.peers)) or rule.mode is not enforce:
                continue
            if accounts is None or _any(accounts, rule.subject):
                for peer in rule.peers:
                    if others.may(peer):
                        yield rule
                        break

    @cached_property
    def _sources(self) -> "_Named":
        return _Named(self.world, self.sources)

    @cached_property
    def _targets(self) -> "_Named":
        return _Named(self.world, self.targets)


@dataclass(frozen=True)
class _Named:
    """Whether peers may name any of some ends."""

    world: World
    ends: Ends
    # Most rules share their peers with others: they are told by which object they are, which is kept beside.
    known: dict[int, tuple[EffectivePeer, bool]] = field(default_factory=dict, init=False, compare=False)
    #: Those of ``known`` that name none.
    never: set[int] = field(default_factory=set, init=False, compare=False)
    _boxes: dict[int, tuple[LabelBox, tuple[Accounts, ...]]] = field(default_factory=dict, init=False, compare=False)

    def may(self, peer: EffectivePeer) -> bool:
        """Whether a peer may name one of the ends."""
        found = self.known.get(id(peer))
        if found is None:
            found = self.known[id(peer)] = (peer, self._may(peer))
            if not found[1]:
                self.never.add(id(peer))
        return found[1]

    def _may(self, peer: EffectivePeer) -> bool:
        if isinstance(peer, PodPeers):
            found = self._boxes.get(id(peer.namespaces))
            there = self._there(peer.namespaces) if found is None else found[1]
            return bool(there) and any(_any(accounts, peer.pods) for accounts in there)
        return self.ends.addresses or peer.covers_pods if isinstance(peer, AddressPeers) else True

    def _there(self, namespaces: LabelBox) -> tuple[Accounts, ...]:
        """The identities in each namespace of a box in which some of the ends are."""
        own = self.ends.pods.items() if self.ends.pods is not None else ()
        matching = (each for name, each in own if namespaces.matches(ends.namespace_labels(self.world, name)))
        there = (None,) if self.ends.pods is None else tuple(matching)
        self._boxes[id(namespaces)] = (namespaces, there)
        return there


def _any(accounts: Accounts, box: LabelBox) -> bool:
    """Whether pods with any of these identities may be in a box."""
    if accounts is None:
        return True
    values = box.get(LABEL_IDENTITY)
    return any(account in values for account in accounts)
