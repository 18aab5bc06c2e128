"""Desired against observed: what to write and what to delete. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ringfence.model.names import LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY
from ringfence.model.ports import Object
from ringfence.reconcile import normal

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """``apply`` in the order desired, ``delete`` as observed; both empty when all is as it shall be."""

    apply: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.apply and not self.delete


def key_of(obj: Object) -> Key:
    """(kind, namespace, name)."""
    return obj["kind"], obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def owned(obj: Object, purpose: str) -> bool:
    """Whether Ringfence's labels say that the object is one of the compiled set ``purpose``.

    The one answer to "is it ours": what is ours and not desired is pruned, so a stranger that borrows the labels is
    deleted, and one that borrows only some of them stays a stranger.
    """
    labels = obj["metadata"].get("labels") or {}
    return labels.get(LABEL_MANAGED_BY) == MANAGED_BY and labels.get(LABEL_PURPOSE) == purpose


def plan(
    desired: Iterable[Object],
    observed: Iterable[Object],
    purpose: str,
    agrees: Callable[[Object, Object], bool] = normal.agrees,
) -> Plan:
    """What makes ``observed`` (all objects of the desired kinds in their place) into ``desired``.

    Objects that are owned and not desired are deleted; one of a desired name is taken over, whoever made it.
    """
    wanted = {key_of(obj): obj for obj in desired}
    held = {key_of(obj): obj for obj in observed}
    apply = [obj for key, obj in wanted.items() if key not in held or not agrees(obj, held[key])]
    delete = [obj for key, obj in held.items() if key not in wanted and owned(obj, purpose)]
    return Plan(tuple(apply), tuple(delete))
