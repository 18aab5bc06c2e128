"""Carries a plan out: everything is tried, nothing that failed is forgotten.

Server-side apply cannot take away a field that somebody else has added to one of Ringfence's objects; such an object
is then written whole, on condition that it is still the one that was read.
"""

import json
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ringfence.model.errors import RingfenceError, WriteRefused
from ringfence.model.ports import Applier, Object
from ringfence.reconcile import normal, plan

_log = logging.getLogger(__name__)

#: So many writes of the same form, each less than CALM_SECONDS after the one before, are a contest; then an object is
#: written at most every CONTESTED_SECONDS, well within the time in which drift is to be repaired.
CONTESTED_AFTER: Final = 10
CONTESTED_SECONDS: Final = 2.0
CALM_SECONDS: Final = 30.0


#: What was to be written, and why it was not.
Failure = tuple[str, RingfenceError]


class PartlyApplied(RingfenceError):
    """Some writes failed; ``failures`` holds (what, error) of each."""

    def __init__(self, failures: Iterable[Failure]) -> None:
        self.failures = tuple(failures)
        super().__init__("; ".join(f"{what}: {error}" for what, error in self.failures))


@dataclass(frozen=True, slots=True)
class Written:
    """What was to be done, and after how many seconds to look again because something was put off (0: nothing was)."""

    plan: plan.Plan
    again_in: float = 0.0


class Contests:
    """Objects that somebody else changes back again and again: repaired every few seconds, not as fast as both can."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: dict[plan.Key, tuple[int, float, int]] = {}

    def wait(self, obj: Object) -> float:
        """Seconds until the object may be written again in this form; 0 for now."""
        wanted, at, count = self._last.get(plan.key_of(obj), (0, 0.0, 0))
        if wanted != _form(obj) or count < CONTESTED_AFTER:
            return 0.0
        return max(0.0, at + CONTESTED_SECONDS - self._monotonic())

    def written(self, obj: Object) -> None:
        """It was written now."""
        key, now = plan.key_of(obj), self._monotonic()
        wanted, at, count = self._last.get(key, (0, 0.0, 0))
        form = _form(obj)
        again = wanted == form and now - at < CALM_SECONDS
        self._last[key] = (form, now, count + 1 if again else 1)

    def forget(self, namespace: str) -> None:
        """The namespace is gone."""
        for key in [key for key in self._last if key[1] == namespace]:
            del self._last[key]


class Writer:
    """Brings objects of one purpose from observed to desired."""

    def __init__(
        self, applier: Applier, purpose: str, *, absent_is_safe: bool, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """``absent_is_safe``: an object whose new state is refused is deleted rather than left in its old state.

        True where objects open (NetworkPolicies beside the default deny), False where they guard (admission): there
        nothing is deleted before all that may stand in its place is written.
        """
        self._applier = applier
        self._purpose = purpose
        self._absent_is_safe = absent_is_safe
        self._contests = Contests(monotonic)
        # What the API server makes of an object beyond the defaults known here (a newer Kubernetes has more): taken as
        # that object's form once it is plain that it cannot be written otherwise.
        self._settled: dict[plan.Key, tuple[object, object]] = {}

    async def write(self, desired: Iterable[Object], observed: Iterable[Object], *, last: str = "") -> Written:
        """Write the difference, and return what it was; raises PartlyApplied after trying all of it.

        The object named ``last`` is applied after the others and deleted before them; it closes what the others open,
        so it is never deleted because its new state was refused.
        """
        todo = plan.plan(desired, observed, self._purpose, self._agrees)
        held = {plan.key_of(obj): obj for obj in observed}
        failures: list[Failure] = []
        waits = []
        for obj in sorted(todo.apply, key=lambda each: each["metadata"]["name"] == last):
            if wait := self._contests.wait(obj):
                _log.warning("%s is changed back again and again: its managedFields say by whom", _name(obj))
                waits.append(wait)
                continue
            try:
                await self._apply(obj)
            except WriteRefused as error:
                failures.append((_name(obj), error))
                old = held.get(plan.key_of(obj))
                if self._absent_is_safe and old is not None and obj["metadata"]["name"] != last:
                    await self._withdraw(old, failures)
            except RingfenceError as error:
                failures.append((_name(obj), error))
        complete = not failures and not waits
        for obj in sorted(todo.delete, key=lambda each: each["metadata"]["name"] != last):
            if complete or self._absent_is_safe:
                await self._withdraw(obj, failures)
        if failures:
            raise PartlyApplied(failures)
        return Written(todo, min(waits, default=0.0))

    def forget(self, namespace: str) -> None:
        """The namespace is gone, and what was learned of its objects with it."""
        self._contests.forget(namespace)
        for key in [key for key in self._settled if key[1] == namespace]:
            del self._settled[key]

    async def _apply(self, obj: Object) -> None:
        self._contests.written(obj)
        answer = await self._applier.apply(obj)
        if self._agrees(obj, answer):
            return
        _log.warning("%s has fields that are not Ringfence's: writing it whole", _name(obj))
        body = {key: value for key, value in obj.items() if key != "metadata"}
        answer = await self._applier.replace({**body, "metadata": _kept_metadata(obj, answer)})
        if normal.carries(obj["metadata"], answer["metadata"]) and normal.content(obj) != normal.content(answer):
            self._settled[plan.key_of(obj)] = (normal.content(obj), normal.content(answer))

    async def _withdraw(self, obj: Object, failures: list[Failure]) -> None:
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


def _form(obj: Object) -> int:
    """Tells one wish for an object from another, without keeping it."""
    return hash(json.dumps(obj, sort_keys=True))


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
