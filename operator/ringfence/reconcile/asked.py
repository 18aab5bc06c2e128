"""What policies ask of pods in every namespace, for the backstop to hold; and whether it has changed.

As long as something that may govern a namespace was never understood, nobody can say what is asked there, and what the
backstop holds there already it goes on holding.
"""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ringfence.model.ports import Object
from ringfence.model.world import Enrolment, World
from ringfence.policy import resolve
from ringfence.reconcile.gather import Gatherer
from ringfence.translate.backstop import asked, requirements

#: Seconds after which every namespace is looked at anew, whatever has been told of it.
REMEMBERED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Everywhere:
    """``placed`` is what is asked, ``undecided`` are the namespaces of which nobody can say.

    ``again_in`` are the seconds until an exception ends; 0 when none does.
    """

    placed: tuple[asked.Placed, ...]
    undecided: frozenset[str]
    again_in: float

    def keep(self, objects: Iterable[Object], observed: Iterable[Object]) -> tuple[Object, ...]:
        """The objects to write, with what is observed for the namespaces of which nobody can say."""
        return requirements.keeping(objects, observed, self.undecided)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is asked in one namespace, whether anybody can say, and when an exception ends there.

    ``ends`` is in seconds since the epoch, 0 when none does.
    """

    placed: tuple[asked.Placed, ...] = ()
    ends: float = 0.0
    undecided: bool = False


class Asked:
    """Looks at namespaces, and remembers what it saw in each.

    Whatever changes in a namespace is seen when that is looked at by itself (``differs``, after each reconcile), so
    ``everywhere`` looks at all of them anew only when cluster policies have changed, an exception has ended, or what is
    remembered is old.
    """

    def __init__(self, gatherer: Gatherer, now: Callable[[], float]) -> None:
        """``now`` in seconds since the epoch (UTC)."""
        self._gatherer = gatherer
        self._now = now
        self._seen: dict[str, _Seen] = {}
        self._written: dict[str, _Seen] = {}
        self._floors: tuple[object, ...] = ()
        #: From when to when what was seen may be used.
        self._good = (0.0, 0.0)

    def everywhere(self) -> Everywhere:
        """As it is now."""
        world, now = self._gatherer.world(), self._now()
        self._forget_what_is_old(now)
        found = {name: self._seen.get(name) or self._look(world, name, now) for name in world.namespaces}
        self._seen = found
        self._written = {name: seen for name, seen in found.items() if seen.placed}
        end = min((seen.ends for seen in self._written.values() if seen.ends), default=0.0)
        wait = max(end - now, 0.001) if end else 0.0
        if end:
            self._good = self._good[0], min(self._good[1], end)
        placed = tuple(each for seen in self._written.values() for each in seen.placed)
        undecided = frozenset(name for name, seen in self._written.items() if seen.undecided)
        return Everywhere(placed, undecided, wait)

    def differs(self, namespace: str) -> bool:
        """Look at one namespace: whether something else is asked there than when ``everywhere`` looked last."""
        self._seen[namespace] = seen = self._look(self._gatherer.world(), namespace, self._now())
        written = self._written.get(namespace, _Seen())
        return (seen.placed, seen.undecided) != (written.placed, written.undecided)

    def _forget_what_is_old(self, now: float) -> None:
        floors = self._gatherer.cluster_policies
        known = (*floors.of(""), *(obj for obj, _ in floors.errors("")))
        same = len(known) == len(self._floors) and all(map(operator.is_, known, self._floors))
        if not same or not self._good[0] <= now < self._good[1]:
            self._seen, self._floors, self._good = {}, known, (now, now + REMEMBERED_SECONDS)

    def _look(self, world: World, namespace: str, now: float) -> _Seen:
        known = world.namespaces.get(namespace)
        if known is None or known.enrolment is not Enrolment.ENFORCE:
            return _Seen()
        policy = resolve.admission(world, namespace)
        placed, wait = asked.of(policy, now), asked.next_end(policy, now)
        undecided = bool(placed) and bool(self._gatherer.undecided(namespace))
        return _Seen(placed, now + wait if wait else 0.0, undecided)
