"""Sort keys for values that have no order of their own, so that equal meaning becomes equal bytes."""

from ringfence.model.effective import (
    AddressPeers,
    EffectivePeer,
    EffectiveRule,
    Everyone,
    PodPeers,
    Unidentified,
)
from ringfence.model.labels import Key, LabelBox


def box_key(box: LabelBox) -> Key:
    """Orders LabelBoxes: by their keys, then by the values."""
    return box.key


def peer_key(peer: EffectivePeer) -> Key:
    """Orders peers: pods, addresses, everyone, unidentified."""
    match peer:
        case PodPeers(namespaces, pods):
            return (0, namespaces.key, pods.key)
        case AddressPeers(addresses, covers_pods, hosts):
            # Names of chains rest on keys: those of addresses without names stay as they are.
            return (1, addresses.blocks, covers_pods, *([hosts] if hosts else ()))
        case Everyone():
            return (2,)
        case Unidentified():
            return (3,)


def rule_key(rule: EffectiveRule) -> Key:
    """Orders rules by where they were written; no two of one direction have the same place."""
    ref = rule.ref
    return (ref.kind, ref.namespace, ref.policy, ref.rule, rule.direction.value)
