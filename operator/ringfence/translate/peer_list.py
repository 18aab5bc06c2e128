"""The peers of an entry in few words: what others contain is left out, and selectors are united where they can be."""

from collections.abc import Iterable, Sequence

from ringfence.model.effective import AddressPeers, Everyone, PodPeers
from ringfence.model.net import IpSet
from ringfence.policy.order import peer_key
from ringfence.policy.uniting import maximal, nobody, united_pods, within

#: Peers that can stand in a NetworkPolicy.
Peer = PodPeers | AddressPeers | Everyone


def contains(outer: Peer, inner: Peer) -> bool:
    """Whether every end that ``inner`` matches is certainly matched by ``outer``."""
    match outer, inner:
        case Everyone(), _:
            return True
        case PodPeers(), PodPeers():
            return within(inner, outer)
        case AddressPeers(), AddressPeers():
            return inner.addresses.minus(outer.addresses).empty
        case _:
            return False


def shortest(peers: Iterable[Peer]) -> tuple[Peer, ...]:
    """The same ends in fewer peers, sorted. Everyone swallows the rest."""
    found = set(peers)
    if Everyone() in found:
        return (Everyone(),)
    if len(found) == 1 and isinstance(next(iter(found)), PodPeers):
        return tuple(peer for peer in found if not nobody(peer))
    pods = united_pods(peer for peer in found if isinstance(peer, PodPeers))
    addresses = _united_addresses([peer for peer in found if isinstance(peer, AddressPeers)])
    return tuple(sorted((*pods, *addresses), key=peer_key))


def _united_addresses(peers: Sequence[AddressPeers]) -> list[AddressPeers]:
    blocks = sorted({block for peer in peers for block in peer.addresses.blocks})
    return maximal([AddressPeers(IpSet((block,))) for block in blocks], contains)
