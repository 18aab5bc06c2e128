"""Whom the ends of an invariant name, among the parties of a world and the addresses outside it."""

from collections.abc import Iterable
from dataclasses import replace

from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import (
    AnonymousPeer,
    ApiServerPeer,
    CidrPeer,
    HostPeer,
    IdentityPeer,
    Invariant,
    NamespacePeer,
    Peer,
    SpiffePeer,
    ZonePeer,
)
from ringfence.model.spans import Spans
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import Enrolment, World
from ringfence.policy.proof.reaching import Ends, Reaching
from ringfence.policy.proof.tables import Mask, union


class Named:
    """Whom the ends of an invariant name: every pod that may be meant, enrolled or not."""

    def __init__(self, world: World, reaching: Reaching) -> None:
        self._world = world
        self._reaching = reaching
        self._index = reaching.index
        self.notes: list[str] = []

    def sources(self, invariant: Invariant) -> Ends:
        """Those who call; those of ``unless`` left out."""
        everyone = Ends(self._index.everyone, self._reaching.outside)
        found = everyone if invariant.sources is None else self.ends(invariant.sources)
        return found - self.ends(invariant.unless)

    def targets(self, invariant: Invariant) -> Ends:
        """Those who are called."""
        if invariant.targets is not None:
            return self.ends(invariant.targets)
        return Ends(union(self._index.mask(name) for name in self._world.namespaces if self._enrolled(name)))

    def real(self, ends: Ends) -> Ends:
        """Without identities that do not exist yet."""
        found = ((number, self._index.parties[number]) for number in self._index.bits(ends.parties))
        kept = (n for n, party in found if party.identity or not self._enrolled(party.pod.namespace))
        return replace(ends, parties=union(1 << number for number in kept))

    def ends(self, peers: Iterable[Peer]) -> Ends:
        """Whom these peers name."""
        found = Ends()
        for peer in peers:
            one, what = self._peer(peer)
            if one.empty:
                self.notes.append(f"{what}, so that names nobody")
            found |= one
        return found

    def _peer(self, peer: Peer) -> tuple[Ends, str]:
        match peer:
            case IdentityPeer(namespace, name):
                known = self._world.identities.get(namespace, {}).get(name)
                found = self._account(namespace, known.service_account) if known is not None else 0
                answer = Ends(found), f"there is no ServiceIdentity {name} in namespace {namespace}"
            case SpiffePeer(spiffe_id):
                answer = Ends(self._spiffe(spiffe_id)), f"no pod of this cluster can be {spiffe_id}"
            case ZonePeer(name):
                places = (n for n, each in self._world.namespaces.items() if each.zone == name)
                answer = Ends(union(map(self._index.mask, places))), f"no namespace is in zone {name}"
            case NamespacePeer(name):
                answer = Ends(self._index.mask(name)), f"there is no namespace {name}"
            case CidrPeer(cidr, excluded):
                spans = Spans.of_networks((cidr,)) - Spans.of_networks(excluded)
                answer = Ends(0, spans & self._reaching.outside), f"no address of {cidr} is outside the cluster"
            case HostPeer(host):
                answer = Ends(0, self._reaching.outside), f"no host {host} is outside the cluster"
            case ApiServerPeer():
                addresses = Spans.of_addresses(address for address, _ in self._world.installation.api_server)
                answer = Ends(0, addresses), "the addresses of the API server are not known"
            case AnonymousPeer():
                answer = Ends(self._unidentified(), self._reaching.outside), ""
        return answer

    def _account(self, namespace: str, account: str) -> Mask:
        """The pods of a ServiceAccount; where nobody guards its namespace, any pod of it may be one."""
        if not self._enrolled(namespace):
            return self._index.mask(namespace)
        wanted = {account}
        numbers = self._index.bits(self._index.mask(namespace))
        return union(1 << n for n in numbers if self._index.parties[n].pod.labels.get(LABEL_IDENTITY) in wanted)

    def _spiffe(self, spiffe_id: str) -> Mask:
        parsed = SpiffeId.parse(spiffe_id)
        account = parsed.service_account() if parsed.trust_domain == self._world.installation.trust_domain else None
        return self._account(*account) if account is not None else 0

    def _unidentified(self) -> Mask:
        pods = enumerate(party.pod for party in self._index.parties)
        found = (n for n, pod in pods if not self._enrolled(pod.namespace) or LABEL_IDENTITY not in pod.labels)
        return union(1 << number for number in found)

    def _enrolled(self, namespace: str) -> bool:
        known = self._world.namespaces.get(namespace)
        return known is not None and known.enrolment is not Enrolment.NONE
