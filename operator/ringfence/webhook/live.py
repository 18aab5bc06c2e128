"""What the cache does not hold is read from the API server itself: once, all at the same time, with a short deadline.

It happens when a namespace and its first pod are made in the same second, and when somebody opens a session into a pod
where a policy closes such. A read that fails leaves the question open,
and the answer is then no.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ringfence.controls import pod
from ringfence.model.errors import CannotTell, RingfenceError
from ringfence.model.ports import Object
from ringfence.webhook import cache
from ringfence.webhook.view import Learned, Missing, Unknown, View

#: Reads an object; None when there is none. Raises RingfenceError when that cannot be found out.
Read = Callable[[Missing, float], Awaitable[Object | None]]


class Learner:
    """Answers what is Unknown."""

    def __init__(self, read: Read, exempt: frozenset[str]) -> None:
        self._read = read
        self._exempt = exempt

    async def learn(self, view: View, unknown: Unknown, seconds: float) -> Learned:
        """The view with what was missing; raises CannotTell when it could not be read within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                found = await asyncio.gather(*(self._read(each, seconds) for each in unknown.missing))
        except (RingfenceError, TimeoutError) as error:
            raise CannotTell(f"{unknown} could not be read from the API server: {str(error) or 'timed out'}") from error
        return self._merged(view, dict(zip(unknown.missing, found, strict=True)))

    def _merged(self, view: View, found: dict[Missing, Object | None]) -> Learned:
        before = view if isinstance(view, Learned) else Learned(view)
        namespaces, networks, pods = dict(before.namespaces), dict(before.networks), dict(before.pods)
        objects: dict[str, Object | None] = {}
        for missing, obj in found.items():
            if missing.kind == "Namespace":
                objects[missing.name] = obj
                namespaces[missing.name] = cache.namespace_of(obj, self._exempt) if obj is not None else None
        for missing, obj in found.items():
            if missing.kind == "NetworkPolicy":
                networks[missing.namespace] = cache.network_ready(objects.get(missing.namespace), obj)
            elif missing.kind == "Pod":
                pods[missing.namespace, missing.name] = pod.of(obj) if obj is not None else None
        return Learned(before.below, namespaces, networks, pods)
