"""Where sessions into pods are closed, for the webhook that is asked about them; and whether that has changed.

What a namespace's own policies say is remembered, since whatever changes there is seen when that namespace is
reconciled; the cluster's policies are few and looked at each time.
"""

from collections.abc import Callable
from typing import Final

from ringfence.model.resources import Mode
from ringfence.reconcile.gather import Gatherer
from ringfence.translate import sessions
from ringfence.translate.sessions import Sessions

#: Seconds after which every namespace is looked at anew, whatever has been told of it.
REMEMBERED_SECONDS: Final = 60.0


class SessionScopes:
    """Looks at namespaces, and remembers what it saw in each."""

    def __init__(self, gatherer: Gatherer, monotonic: Callable[[], float]) -> None:
        self._gatherer = gatherer
        self._monotonic = monotonic
        self._seen: dict[str, Mode | None] = {}
        self._told: dict[str, Mode | None] = {}
        self._until = 0.0

    def everywhere(self) -> Sessions:
        """Where the API server has to ask, as it is now."""
        gatherer, now = self._gatherer, self._monotonic()
        world = gatherer.world()
        # A cluster policy that nobody understands may close sessions anywhere, and in the next moment nowhere.
        if now >= self._until or gatherer.cluster_policies.errors(""):
            self._seen, self._until = {}, now + REMEMBERED_SECONDS
        self._seen = {name: self._seen[name] if name in self._seen else self._look(name) for name in world.namespaces}
        self._told = dict(self._seen)
        return sessions.where(world, {name: mode for name, mode in self._seen.items() if mode is not None})

    def look(self, namespace: str) -> Mode | None:
        """Whether sessions into one namespace's pods are refused, only reported, or (None) free, by its own policies.

        A policy that was never understood may refuse them.
        """
        self._seen[namespace] = mode = self._look(namespace)
        return mode

    def differs(self, namespace: str) -> bool:
        """Look at one namespace: whether that is something else than when ``everywhere`` was asked last."""
        return self.look(namespace) is not self._told.get(namespace)

    def _look(self, name: str) -> Mode | None:
        namespace = self._gatherer.namespace(name)
        if namespace is None:
            return None
        undecided = bool(self._gatherer.undecided(name))
        return sessions.own(namespace, self._gatherer.policies.of(name), undecided=undecided)
