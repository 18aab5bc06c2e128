"""Many pods said in few words: selectors that differ in one label become one selector with several values."""

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Final, TypeVar

from ringfence.model.effective import PodPeers
from ringfence.model.labels import Conditions, LabelBox
from ringfence.policy.order import box_key, peer_key

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


def united_pods(peers: Iterable[PodPeers]) -> list[PodPeers]:
    """The same pods in fewer pairs of selectors."""
    found = list(dict.fromkeys(peer for peer in peers if not nobody(peer)))
    while len(found) > 1:
        before = len(found)
        # Pods' labels first: that reads best.
        found = [PodPeers(namespaces, pods) for namespaces, pods in _beside((p.namespaces, p.pods) for p in found)]
        found = [PodPeers(namespaces, pods) for pods, namespaces in _beside((p.pods, p.namespaces) for p in found)]
        if len(found) == before:
            break
    return maximal(sorted(found, key=peer_key), lambda outer, inner: within(inner, outer))


def united_boxes(boxes: Iterable[LabelBox]) -> list[LabelBox]:
    """The same objects in fewer boxes, sorted."""
    found = [box for box in boxes if not box.empty]
    while len(found) > 1:
        before = len(found)
        found = _joined(found)
        if len(found) == before:
            break
    return sorted(found, key=box_key)


def _beside(pairs: Iterable[tuple[LabelBox, LabelBox]]) -> Iterator[tuple[LabelBox, LabelBox]]:
    """Pairs of boxes with those joined that stand beside the same one: (that one, fewer)."""
    groups: dict[LabelBox, list[LabelBox]] = defaultdict(list)
    for same, box in pairs:
        groups[same].append(box)
    for same, boxes in groups.items():
        for box in _joined(boxes) if len(boxes) > 1 else boxes:
            yield same, box


def _joined(boxes: list[LabelBox]) -> list[LabelBox]:
    """Join boxes that are equal but for one key, for one key after the other."""
    for key in sorted({key for box in boxes for key, _ in box.conditions}, reverse=True):
        groups: dict[Conditions, list[LabelBox]] = defaultdict(list)
        for box in boxes:
            groups[tuple(condition for condition in box.conditions if condition[0] != key)].append(box)
        if len(groups) < len(boxes):
            boxes = [_union(group, rest, key) for rest, group in groups.items()]
    return boxes


def _union(boxes: list[LabelBox], rest: Conditions, key: str) -> LabelBox:
    """One for boxes that have the conditions ``rest`` and any on ``key``."""
    if len(boxes) == 1:
        return boxes[0]
    return LabelBox.of({**dict(rest), key: reduce(operator.or_, (box.get(key) for box in boxes))})
