"""What the rules of the worlds compared name: identities, namespaces, addresses, ports."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from ringfence.model.effective import AddressPeers, EffectiveRule, PodPeers
from ringfence.model.labels import LabelBox, ValueSet
from ringfence.model.names import LABEL_NAMESPACE_NAME
from ringfence.policy.algebra import ports

_ANYWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class Named:
    """``pods`` are what peers ask of pods, by the namespace that they name ("" for peers that name none).

    ``ports`` are names of ports, sorted. ``tunnels``: some rule names CONNECT.
    """

    address_peers: tuple[AddressPeers, ...] = ()
    pods: Mapping[str, tuple[LabelBox, ...]] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    tunnels: bool = False

    @classmethod
    def of(cls, rules: Iterable[EffectiveRule], more: Iterable[str] = ()) -> Self:
        """What these rules name; ``more`` are names of ports that a question names too."""
        listed = list(rules)
        # Most rules share their peers with others: told apart as objects first, which is faster than by what they say.
        peers = dict.fromkeys({id(peer): peer for rule in listed for peer in rule.peers}.values())
        pods: dict[str, dict[LabelBox, None]] = defaultdict(dict)
        for peer in peers:
            if isinstance(peer, PodPeers):
                for name in _finite(peer.namespaces.get(LABEL_NAMESPACE_NAME)):
                    pods[name][peer.pods] = None
        addresses = (peer for peer in peers if isinstance(peer, AddressPeers))
        return cls(
            tuple(sorted(addresses, key=lambda peer: (peer.addresses.blocks, peer.covers_pods))),
            {name: tuple(sorted(boxes, key=lambda box: box.key)) for name, boxes in pods.items()},
            tuple(sorted({*ports.names_in(rule.ports for rule in listed if rule.ports.names), *more})),
            any(rule.requests is not None and rule.requests.tunnels for rule in listed),
        )

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that a peer names."""
        return tuple(sorted(self.pods.keys() - {_ANYWHERE}))

    def pods_of(self, namespace: str) -> tuple[LabelBox, ...]:
        """What peers that may mean pods of a namespace ask of them."""
        return (*self.pods.get(namespace, ()), *self.pods.get(_ANYWHERE, ()))


def _finite(values: ValueSet) -> Iterable[str]:
    return (_ANYWHERE,) if values.complement or values.absent else sorted(values.values)
