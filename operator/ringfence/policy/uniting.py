"""Many pods said in few words: selectors that differ in one label become one selector with several values."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from ringfence.model.effective import PodPeers
from ringfence.model.labels import LabelBox, ValueSet
from ringfence.policy.order import box_key, peer_key

#: Conditions of a pair of boxes in one mapping: (0 Namespace label | 1 Pod label, key) to values.
_Flat = dict[tuple[int, str], ValueSet]

#: Comparing everything with everything is worth it for short lists only.
_FEW: Final = 48

_T = TypeVar("_T")


def maximal(items: Sequence[_T], contains: Callable[[_T, _T], bool]) -> list[_T]:
    """Without the items that another one contains; of two that contain each other the first stays.

    Long lists are returned as they are: they are merely longer than they need to be.
    """
    if len(items) > _FEW or len(items) == 1:
        return list(items)
    return [
        item
        for number, item in enumerate(items)
        if not any(
            contains(other, item) and (place < number or not contains(item, other))
            for place, other in enumerate(items)
            if place != number
        )
    ]


def within(inner: PodPeers, outer: PodPeers) -> bool:
    """Whether every pod that ``inner`` matches is matched by ``outer``."""
    return inner.namespaces.within(outer.namespaces) and inner.pods.within(outer.pods)


def nobody(peer: object) -> bool:
    """Whether a peer can match no pod."""
    return isinstance(peer, PodPeers) and (peer.namespaces.empty or peer.pods.empty)


def united_pods(peers: Sequence[PodPeers]) -> list[PodPeers]:
    """The same pods in fewer pairs of selectors."""
    flat = [
        {(0, key): values for key, values in peer.namespaces.conditions}
        | {(1, key): values for key, values in peer.pods.conditions}
        for peer in peers
        if not nobody(peer)
    ]
    united = [
        PodPeers(
            LabelBox.of({key: values for (side, key), values in one.items() if side == 0}),
            LabelBox.of({key: values for (side, key), values in one.items() if side == 1}),
        )
        for one in _united(flat)
    ]
    return maximal(sorted(united, key=peer_key), lambda outer, inner: within(inner, outer))


def united_boxes(boxes: Iterable[LabelBox]) -> list[LabelBox]:
    """The same objects in fewer boxes, sorted."""
    flat = [{(0, key): values for key, values in box.conditions} for box in boxes if not box.empty]
    united = [LabelBox.of({key: values for (_, key), values in one.items()}) for one in _united(flat)]
    return sorted(united, key=box_key)


def _united(boxes: list[_Flat]) -> list[_Flat]:
    """Join boxes that differ in one condition, until none do. Pods' labels first: that reads best."""
    while len(boxes) > 1:
        before = len(boxes)
        for key in sorted({key for box in boxes for key in box}, reverse=True):
            if len({box.get(key) for box in boxes}) > 1:
                boxes = _joined(boxes, key)
        if len(boxes) == before:
            break
    return boxes


def _joined(boxes: list[_Flat], key: tuple[int, str]) -> list[_Flat]:
    """Join those that are equal but for ``key``. Without a condition on it, every value is in."""
    groups: dict[frozenset[tuple[tuple[int, str], ValueSet]], list[_Flat]] = defaultdict(list)
    for box in boxes:
        groups[frozenset((k, v) for k, v in box.items() if k != key)].append(box)
    joined = []
    for group in groups.values():
        first = group[0]
        if len(group) == 1:
            joined.append(first)
            continue
        rest = {k: v for k, v in first.items() if k != key}
        if all(key in box for box in group):
            values = group[0][key]
            for box in group[1:]:
                values |= box[key]
            if not values.full:
                rest[key] = values
        joined.append(rest)
    return joined
