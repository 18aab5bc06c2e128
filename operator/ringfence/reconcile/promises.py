"""Whether the invariants of ClusterSecurityPolicies hold now, as their statuses tell it.

The webhook asks this of changes. What it is not asked about (policies that are deleted, Namespaces with other labels,
changes while nobody was asked) is seen here, some seconds later.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from ringfence.model.errors import CannotTell
from ringfence.model.resources import Mode
from ringfence.model.world import Namespace, World
from ringfence.policy.proof import guard, prove, tell
from ringfence.policy.proof.prove import Outcome, Proof
from ringfence.reconcile.conditions import Condition
from ringfence.reconcile.gather import Gatherer

_log: Final = logging.getLogger(__name__)

PROVEN: Final = "Proven"
REASON_HOLDS: Final = "Holds"
REASON_VIOLATED: Final = "InvariantViolated"
REASON_CANNOT_TELL: Final = "InvariantNotProven"
#: Seconds between two looks where nothing else asks for one.
EVERY: Final = 20.0
#: Characters of a condition's message at most.
_LONGEST: Final = 2000


def snapshot(gatherer: Gatherer, namespace: Namespace | None = None) -> World:
    """What the caches hold, as values; networks are taken as closed wherever they are to be.

    An invariant speaks of what policies allow. Namespaces that wait to be closed are told of elsewhere, and would make
    every change wait for them. ``namespace`` is one that may not be there yet.
    """
    world = gatherer.world()
    namespaces = {name: world.namespaces[name] for name in world.namespaces}
    if namespace is not None:
        namespaces.setdefault(namespace.name, namespace)
    return World(
        installation=world.installation,
        namespaces=dict(sorted(namespaces.items())),
        identities={name: {each.meta.name: each for each in gatherer.identities.of(name)} for name in namespaces},
        policies={name: found for name in namespaces if (found := gatherer.policies.of(name))},
        cluster_policies=world.cluster_policies,
    )


def not_understood(gatherer: Gatherer, *, but: tuple[str, str] = ("", "")) -> str:
    """Why nothing can be proven: a policy that was never understood may allow anything. "" where all are.

    ``but`` is (kind, name) of one that does not count.
    """
    for namespace in gatherer.world().namespaces:
        for each in gatherer.undecided(namespace):
            if (each.kind, each.name) != but:
                return f"{each.kind} {each.name} cannot be understood and may allow anything: {each.error}"
    return ""


class Promises:
    """Proves over what the caches hold, in a thread of its own, and only what may have become another answer."""

    def __init__(self, gatherer: Gatherer) -> None:
        self._gatherer = gatherer
        self._state: guard.State | None = None
        self._world: World | None = None
        self._told: Mapping[str, Condition] = {}

    async def look(self) -> Mapping[str, Condition]:
        """By ClusterSecurityPolicy that has invariants, the condition Proven."""
        world = snapshot(self._gatherer)
        invariants = prove.invariants(world, Mode)
        if not invariants:
            self._state, self._world, self._told = None, None, {}
            return self._told
        if why := not_understood(self._gatherer):
            self._world = None
            return {each.policy: Condition(PROVEN, False, REASON_CANNOT_TELL, why) for each in invariants}
        if world != self._world:
            self._told = await asyncio.to_thread(self._prove, world)
            self._world = world
        return self._told

    def _prove(self, world: World) -> Mapping[str, Condition]:
        invariants = prove.invariants(world, Mode)
        try:
            self._state = state = guard.State.of(world, self._state)
        except CannotTell as error:
            _log.warning("invariants cannot be proven: %s", error)
            return {each.policy: Condition(PROVEN, False, REASON_CANNOT_TELL, str(error)) for each in invariants}
        found: dict[str, list[Proof]] = {}
        for each in invariants:
            found.setdefault(each.policy, []).append(state.prover.prove(each))
        return {name: _condition(state, proofs) for name, proofs in found.items()}


def judged(ready: Condition, mode: Mode | None, proven: Condition | None) -> Condition:
    """Ready of a policy: one whose invariants do not hold is not in force as it is written."""
    if proven is None or proven.status or not ready.status or mode is not Mode.ENFORCE:
        return ready
    return replace(ready, status=False, reason=proven.reason, message=proven.message)


def _condition(state: guard.State, proofs: Iterable[Proof]) -> Condition:
    proofs = list(proofs)
    bad = [proof for proof in proofs if proof.outcome is not Outcome.PROVEN]
    if not bad:
        count = len(proofs)
        return Condition(PROVEN, True, REASON_HOLDS, f"{count} invariants hold" if count > 1 else "its invariant holds")
    violated = any(proof.outcome is Outcome.VIOLATED for proof in bad)
    lines = [line for proof in bad for line in _lines(state, proof)]
    message = "\n".join(lines)
    if len(message) > _LONGEST:
        message = message[:_LONGEST].rpartition("\n")[0] + "\n… (ringfence prove shows the rest)"
    return Condition(PROVEN, False, REASON_VIOLATED if violated else REASON_CANNOT_TELL, message)


def _lines(state: guard.State, proof: Proof) -> Iterable[str]:
    yield tell.headline(proof)
    yield from (f"  {line}" for line in tell.lines(state.world, state.policies.__getitem__, proof))
