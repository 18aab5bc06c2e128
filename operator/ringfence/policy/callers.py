"""Whom a peer names when callers are told by what a connection shows: an identity, or only an address.

A caller in mutual TLS shows the identity of a pod; one without shows its address. Labels are not to be seen on a
connection, so peers that name pods become identities for the former and the addresses of those pods for the latter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ringfence.model.effective import AddressPeers, EffectivePeer, Everyone, PodPeers, Unidentified
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.spans import ALL, NONE, Spans
from ringfence.model.world import Workload, World
from ringfence.policy.peers import ANY_IDENTITY, names_identities

#: (namespace, ServiceAccount).
Account = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Identities:
    """Callers in mutual TLS: those of whole namespaces, single ones, and those at some addresses whoever they are."""

    everyone: bool = False
    namespaces: frozenset[str] = frozenset()
    accounts: frozenset[Account] = frozenset()
    addresses: Spans = NONE

    @property
    def empty(self) -> bool:
        return not (self.everyone or self.namespaces or self.accounts) and self.addresses.empty

    def __or__(self, other: "Identities") -> "Identities":
        return Identities(
            self.everyone or other.everyone,
            self.namespaces | other.namespaces,
            self.accounts | other.accounts,
            self.addresses | other.addresses,
        )


@dataclass(slots=True)
class Callers:
    """The pods of a world as callers. What it has worked out it keeps, so make one for each snapshot."""

    world: World
    _spans: dict[PodPeers, Spans] = field(default_factory=dict)
    _namespaces: dict[LabelBox, tuple[str, ...]] = field(default_factory=dict)
    _pods: Spans | None = None

    def namespaces(self, box: LabelBox) -> tuple[str, ...]:
        """Names of the namespaces that a box matches, sorted."""
        if box not in self._namespaces:
            known = self.world.namespaces
            named = box.get(LABEL_NAMESPACE_NAME)
            # Nearly every peer names its namespace: to look at all for each would grow with the square of the cluster.
            names = known if named.complement or named.absent else known.keys() & named.values
            self._namespaces[box] = tuple(sorted(name for name in names if box.matches(known[name].labels)))
        return self._namespaces[box]

    def identities(self, peers: Iterable[EffectivePeer]) -> Identities:
        """The callers in mutual TLS that any of the peers names."""
        everyone, addresses = False, Spans()
        namespaces: set[str] = set()
        accounts: set[Account] = set()
        for peer in peers:
            match peer:
                case Everyone():
                    everyone = True
                case PodPeers():
                    self._add(peer, namespaces, accounts)
                case AddressPeers(found, covers_pods):
                    # Who shows an identity is a pod, wherever it calls from.
                    addresses |= Spans.of_set(found) if covers_pods else Spans()
                case Unidentified():
                    pass
        return Identities(everyone, frozenset(namespaces), frozenset(accounts), addresses)

    def _add(self, peer: PodPeers, namespaces: set[str], accounts: set[Account]) -> None:
        values = peer.pods.get(LABEL_IDENTITY)
        others = [key for key, _ in peer.pods.conditions if key != LABEL_IDENTITY]
        places = self.namespaces(peer.namespaces)
        if others or (values.complement and values.values):
            # No peer of a policy is like this; pods that are known to match are named one by one.
            accounts.update((pod.namespace, pod.service_account) for pod in self._matching(peer))
        elif values.complement:
            namespaces.update(places)
        else:
            accounts.update((place, account) for place in places for account in values.values)

    def addresses(self, peers: Iterable[EffectivePeer], *, strict: bool) -> Spans:
        """Where callers without mutual TLS that any of the peers names come from.

        ``strict``: they have no identity, whatever pod they are. Otherwise a pod at the address is taken for a caller.
        """
        found = Spans()
        for peer in peers:
            match peer:
                case Everyone():
                    return ALL
                case Unidentified():
                    found |= ALL if strict else ALL - self._identified()
                case PodPeers() if not strict or not names_identities(peer):
                    found |= self.pod_addresses(peer)
                case AddressPeers(addresses, covers_pods):
                    spans = Spans.of_set(addresses)
                    found |= spans if covers_pods else spans - self.all_pods()
        return found

    def pod_addresses(self, peer: PodPeers) -> Spans:
        """The addresses of the running pods that a peer names."""
        if peer not in self._spans:
            self._spans[peer] = Spans.of_addresses(ip for pod in self._matching(peer) for ip in pod.ips)
        return self._spans[peer]

    def all_pods(self) -> Spans:
        """The addresses of all pods."""
        if self._pods is None:
            found = (pod for pods in self.world.workloads.values() for pod in pods if on_network(pod))
            self._pods = Spans.of_addresses(ip for pod in found for ip in pod.ips)
        return self._pods

    def _identified(self) -> Spans:
        return self.pod_addresses(ANY_IDENTITY)

    def _matching(self, peer: PodPeers) -> Iterable[Workload]:
        for place in self.namespaces(peer.namespaces):
            for pod in self.world.workloads.get(place, ()):
                if on_network(pod) and peer.pods.matches(pod.labels):
                    yield pod

    def accounts_of(self, namespace: str) -> frozenset[Account]:
        """The ServiceAccounts of a namespace that are known: of identities and of pods."""
        identities: Mapping[str, object] = self.world.identities.get(namespace, {})
        named = {self.world.identities[namespace][name].service_account for name in identities}
        pods = {pod.service_account for pod in self.world.workloads.get(namespace, ())}
        return frozenset((namespace, account) for account in named | pods)


def on_network(pod: Workload) -> bool:
    """Whether a pod has its addresses for itself, now."""
    return not pod.finished and not pod.host_network
