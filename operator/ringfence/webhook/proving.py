"""Invariants are proven when a policy or an identity is created or changed; a change that breaks one is refused.

Proving may take a second where there are thousands of identities, so it is done in a thread of its own, over a copy of
what the caches hold, and bounded in time: what is not proven by then is refused, and what was worked out is kept, so
that asking again goes on from there.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

from ringfence import api
from ringfence.model.errors import CannotTell
from ringfence.model.resources import ClusterSecurityPolicy, Mode, SecurityPolicy, ServiceIdentity
from ringfence.model.world import Namespace, World
from ringfence.policy.proof import guard, tell
from ringfence.policy.proof.guard import State
from ringfence.policy.proof.prove import Proof
from ringfence.reconcile import promises
from ringfence.reconcile.gather import Gatherer
from ringfence.webhook.wire import ALLOWED, Answer

_log: Final = logging.getLogger(__name__)

CONTROL: Final = "invariant"
#: Broken invariants of which a refusal shows the calls; of the others it tells the names.
_SHOWN: Final = 3

P = TypeVar("P", SecurityPolicy, ClusterSecurityPolicy)


class Proving:
    """Proves changes over what the caches hold. Lives in one event loop with them."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._state: State | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="proving")

    def warm(self) -> None:
        """Work out what is there now, so that the first change need not wait for it; does not wait."""
        world = promises.snapshot(self._gatherer)
        if _promises(world):
            self._pool.submit(self._warm, world)

    async def judge(self, change: api.Parsed, namespace: Namespace | None, seconds: float) -> Answer:
        """Whether a resource may be written; ``namespace`` is the one that it stands in.

        Raises CannotTell when that is not known within so many seconds, or not at all as long as something else cannot
        be understood.
        """
        before = promises.snapshot(self._gatherer, namespace)
        after = changed(before, change)
        if not _promises(after):
            return ALLOWED
        if why := promises.not_understood(self._gatherer, but=(type(change).__name__, change.meta.name)):
            raise CannotTell(why)
        start = time.monotonic()
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._judge, before, after)
            async with asyncio.timeout(max(seconds, 0.0)):
                broken = await work
        except TimeoutError as error:
            raise CannotTell(
                f"the invariants of the cluster's policies were not proven within {time.monotonic() - start:.1f} s"
            ) from error
        return _answer(change, broken)

    def _warm(self, world: World) -> None:
        try:
            self._state = State.of(world, self._state)
        except CannotTell as error:
            _log.warning("invariants cannot be proven: %s", error)

    def _judge(self, before: World, after: World) -> list[tuple[Proof, bool, tuple[str, ...]]]:
        """In the thread: each broken invariant, whether that is the change's doing, and the calls in words."""
        self._state = former = State.of(before, self._state)
        state = State.of(after, former)
        return [
            (proof, worse, tuple(tell.lines(after, state.policies.__getitem__, proof)) if worse else ())
            for proof, worse in guard.broken(former, state)
        ]


def changed(world: World, change: api.Parsed) -> World:
    """The world once a resource has been written."""
    match change:
        case ServiceIdentity():
            place = change.meta.namespace
            own = {**world.identities.get(place, {}), change.meta.name: change}
            return replace(world, identities={**world.identities, place: own})
        case SecurityPolicy():
            place = change.meta.namespace
            return replace(world, policies={**world.policies, place: _with(world.policies.get(place, ()), change)})
        case ClusterSecurityPolicy():
            return replace(world, cluster_policies=_with(world.cluster_policies, change))


def _with(policies: tuple[P, ...], change: P) -> tuple[P, ...]:
    by_name = {**{each.meta.name: each for each in policies}, change.meta.name: change}
    return tuple(by_name[name] for name in sorted(by_name))


def _promises(world: World) -> bool:
    return any(policy.invariants and policy.spec.mode is Mode.ENFORCE for policy in world.cluster_policies)


def _answer(change: api.Parsed, broken: list[tuple[Proof, bool, tuple[str, ...]]]) -> Answer:
    mine = [(proof, lines) for proof, worse, lines in broken if worse]
    if not mine:
        warnings = tuple(f"Ringfence: {tell.headline(proof)}, as before this change" for proof, _, _ in broken)
        return Answer(True, warnings=warnings) if warnings else ALLOWED
    meta = change.meta
    name = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
    message = "\n".join((f"Ringfence refuses {type(change).__name__} {name}: with it", *_told(mine)))
    return Answer(False, message, controls=(CONTROL,))


def _told(broken: list[tuple[Proof, tuple[str, ...]]]) -> Iterator[str]:
    for number, (proof, lines) in enumerate(broken):
        yield f"- {tell.headline(proof)}"
        if number < _SHOWN:
            yield from (f"  {line}" for line in lines)
