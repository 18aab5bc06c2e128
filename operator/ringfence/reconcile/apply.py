"""Carries a plan out: everything is tried, nothing that failed is forgotten.

Server-side apply cannot take away a field that somebody else has added to one of Ringfence's objects; such an object
is then written whole, on condition that it is still the one that was read.
"""

import logging
from collections.abc import Iterable

from ringfence.model.errors import RingfenceError, WriteRefused
from ringfence.model.ports import Applier, Object
from ringfence.reconcile import normal, plan

_log = logging.getLogger(__name__)


class PartlyApplied(RingfenceError):
    """Some writes failed; ``failures`` holds (what, error) of each."""

    def __init__(self, failures: Iterable[tuple[str, RingfenceError]]) -> None:
        self.failures = tuple(failures)
        super().__init__("; ".join(f"{what}: {error}" for what, error in self.failures))


class Writer:
    """Brings objects of one purpose from observed to desired."""

    def __init__(self, applier: Applier, purpose: str, *, absent_is_safe: bool) -> None:
        """``absent_is_safe``: an object whose new state is refused is deleted rather than left in its old state.

        True where objects open (NetworkPolicies beside the default deny), False where they guard (admission).
        """
        self._applier = applier
        self._purpose = purpose
        self._absent_is_safe = absent_is_safe
        # What the API server makes of an object beyond the defaults known here (a newer Kubernetes has more): taken as
        # that object's form once it is plain that it cannot be written otherwise.
        self._settled: dict[plan.Key, tuple[object, object]] = {}

    async def write(self, desired: Iterable[Object], observed: Iterable[Object], *, last: str = "") -> plan.Plan:
        """Write the difference, and return what it was; raises PartlyApplied after trying all of it.

        The object named ``last`` is applied after the others and deleted before them; it closes what the others open,
        so it is never deleted because its new state was refused.
        """
        todo = plan.plan(desired, observed, self._purpose, self._agrees)
        held = {plan.key_of(obj): obj for obj in observed}
        failures: list[tuple[str, RingfenceError]] = []
        for obj in sorted(todo.apply, key=lambda each: each["metadata"]["name"] == last):
            try:
                await self._apply(obj)
            except WriteRefused as error:
                failures.append((_name(obj), error))
                old = held.get(plan.key_of(obj))
                if self._absent_is_safe and old is not None and obj["metadata"]["name"] != last:
                    await self._withdraw(old, failures)
            except RingfenceError as error:
                failures.append((_name(obj), error))
        for obj in sorted(todo.delete, key=lambda each: each["metadata"]["name"] != last):
            await self._withdraw(obj, failures)
        if failures:
            raise PartlyApplied(failures)
        return todo

    async def _apply(self, obj: Object) -> None:
        answer = await self._applier.apply(obj)
        if self._agrees(obj, answer):
            return
        _log.warning("%s has fields that are not Ringfence's: writing it whole", _name(obj))
        body = {key: value for key, value in obj.items() if key != "metadata"}
        answer = await self._applier.replace({**body, "metadata": _kept_metadata(obj, answer)})
        if normal.carries(obj["metadata"], answer["metadata"]) and normal.content(obj) != normal.content(answer):
            self._settled[plan.key_of(obj)] = (normal.content(obj), normal.content(answer))

    async def _withdraw(self, obj: Object, failures: list[tuple[str, RingfenceError]]) -> None:
        kind, namespace, name = plan.key_of(obj)
        try:
            await self._applier.delete(obj["apiVersion"], kind, namespace, name, uid=obj["metadata"].get("uid", ""))
        except RingfenceError as error:
            failures.append((_name(obj), error))

    def _agrees(self, desired: Object, observed: Object) -> bool:
        if normal.agrees(desired, observed):
            return True
        settled = self._settled.get(plan.key_of(desired))
        if settled is None or not normal.carries(desired["metadata"], observed["metadata"]):
            return False
        return settled == (normal.content(desired), normal.content(observed))


def _kept_metadata(desired: Object, answer: Object) -> dict[str, object]:
    """The metadata of the object as it is, labels and annotations of others included."""
    kept = {key: value for key, value in answer["metadata"].items() if key != "managedFields"}
    for section in ("labels", "annotations"):
        merged = {**(kept.get(section) or {}), **(desired["metadata"].get(section) or {})}
        if merged:
            kept[section] = merged
    return kept


def _name(obj: Object) -> str:
    kind, namespace, name = plan.key_of(obj)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"
