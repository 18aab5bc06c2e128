"""Sort keys for values that have no order of their own, so that equal meaning becomes equal bytes."""

from functools import lru_cache
from typing import Any

from ringfence.model.effective import (
    AddressPeers,
    EffectivePeer,
    EffectiveRule,
    Everyone,
    PodPeers,
    Unidentified,
)
from ringfence.model.labels import LabelBox, ValueSet

Key = tuple[Any, ...]


def values_key(values: ValueSet) -> Key:
    """Orders ValueSets: finite before cofinite, then by the values."""
    return (values.complement, values.absent, tuple(sorted(values.values)))


@lru_cache(maxsize=65536)
def box_key(box: LabelBox) -> Key:
    """Orders LabelBoxes: by their keys, then by the values."""
    return tuple((key, values_key(values)) for key, values in box.conditions)


def peer_key(peer: EffectivePeer) -> Key:
    """Orders peers: pods, addresses, everyone, unidentified."""
    match peer:
        case PodPeers(namespaces, pods):
            return (0, box_key(namespaces), box_key(pods))
        case AddressPeers(addresses, covers_pods):
            return (1, addresses.blocks, covers_pods)
        case Everyone():
            return (2,)
        case Unidentified():
            return (3,)


def rule_key(rule: EffectiveRule) -> Key:
    """Orders rules by where they were written; no two of one direction have the same place."""
    ref = rule.ref
    return (ref.kind, ref.namespace, ref.policy, ref.rule, rule.direction.value)
