"""What policies ask of pods in every namespace, for the backstop to hold; and whether it has changed.

As long as something that may govern a namespace was never understood, nobody can say what is asked there, and what the
backstop holds there already it goes on holding.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ringfence.model.ports import Object
from ringfence.model.world import Enrolment, World
from ringfence.policy import resolve
from ringfence.reconcile.gather import Gatherer
from ringfence.translate.backstop import asked, requirements


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


class Asked:
    """Looks at every namespace. What was seen last is remembered, so that a change is noticed."""

    def __init__(self, gatherer: Gatherer, now: Callable[[], float]) -> None:
        """``now`` in seconds since the epoch (UTC)."""
        self._gatherer = gatherer
        self._now = now
        self._last: dict[str, tuple[asked.Placed, ...]] = {}

    def everywhere(self) -> Everywhere:
        """As it is now."""
        world, now = self._gatherer.world(), self._now()
        found, waits, undecided = {}, [], set()
        for name in world.namespaces:
            placed, wait = _of(world, name, now)
            if placed:
                found[name] = placed
                waits += [wait] if wait else []
                undecided |= {name} if self._gatherer.undecided(name) else set()
        self._last = found
        every = tuple(each for placed in found.values() for each in placed)
        return Everywhere(every, frozenset(undecided), min(waits, default=0.0))

    def differs(self, namespace: str) -> bool:
        """Whether something else is asked in a namespace than when ``everywhere`` looked last."""
        placed, _ = _of(self._gatherer.world(), namespace, self._now())
        return placed != self._last.get(namespace, ())


def _of(world: World, namespace: str, now: float) -> tuple[tuple[asked.Placed, ...], float]:
    known = world.namespaces.get(namespace)
    if known is None or known.enrolment is not Enrolment.ENFORCE:
        return (), 0.0
    policy = resolve.admission(world, namespace)
    return asked.of(policy, now), asked.next_end(policy, now)
