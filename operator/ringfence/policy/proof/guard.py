"""Whether a change of the policies breaks an invariant that held before it.

Only what a change touches is read again: the meaning of a namespace is kept as long as its policies and what they see
are the same, and an invariant is proven again only if some end lets through what it did not before (never) or no more
what it did (always).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import Invariant, Promise
from ringfence.model.world import World
from ringfence.policy import resolve
from ringfence.policy.proof import parties, prove
from ringfence.policy.proof.parties import Party
from ringfence.policy.proof.ports import namings
from ringfence.policy.proof.prove import Outcome, Proof, Prover
from ringfence.policy.proof.reaching import Point, Reaching
from ringfence.policy.proof.tables import Half, Opening

#: Pairs of callers and targets that one proof of a change may look at; some ten microseconds each.
MAX_PAIRS: Final = 100_000


@dataclass(frozen=True, slots=True)
class State:
    """A world, what holds in its namespaces, and what proves over it."""

    world: World
    policies: Mapping[str, EffectivePolicy]
    parties: Mapping[str, tuple[Party, ...]]
    prover: Prover

    @classmethod
    def of(cls, world: World, former: "State | None" = None) -> "State":
        """The state of a world; raises CannotTell when its pods are told apart in too many ways."""
        kept = former if former is not None and _same_names(former.world, world) else None
        policies, found = {}, {}
        for name in sorted(world.namespaces):
            if kept is not None and _same_policies(kept.world, world, name):
                policies[name], found[name] = kept.policies[name], kept.parties[name]
            else:
                policies[name] = resolve.resolve(world, name)
                found[name] = tuple(parties.of_namespace(world, policies[name]))
        everyone = [party for name in found for party in found[name]]
        before = kept.prover.reaching if kept is not None else None
        reaching = Reaching(world, policies.__getitem__, everyone, former=before)
        return cls(world, policies, found, Prover(world, reaching, MAX_PAIRS))


def _same_names(one: World, other: World) -> bool:
    """Whether whatever rules look up is the same."""
    return (
        one.installation == other.installation
        and one.namespaces == other.namespaces
        and one.identities == other.identities
    )


def _same_policies(one: World, other: World, namespace: str) -> bool:
    own = one.policies.get(namespace, ()), other.policies.get(namespace, ())
    return own[0] == own[1] and list(_floors(one, namespace)) == list(_floors(other, namespace))


def _floors(world: World, namespace: str) -> Iterator[tuple[object, ...]]:
    """What cluster policies say in a namespace, without what they say of the whole cluster."""
    labels = world.namespaces[namespace].labels
    for policy in world.cluster_policies:
        if policy.namespace_selector.matches(labels):
            yield policy.meta.name, policy.spec, policy.exceptions


def broken(before: State, after: State) -> Iterator[tuple[Proof, bool]]:
    """The invariants in force after a change that do not hold, or cannot be proven, then.

    True with those that the change breaks: that held before, or that are said for the first time, or of which it adds
    a caller and a target. Whatever was broken before must not stop changes that have nothing to do with it.
    """
    known = frozenset(prove.invariants(before.world))
    widened, narrowed = _differences(before, after)
    for invariant in prove.invariants(after.world):
        touched = widened if invariant.promise is Promise.NEVER else narrowed
        if invariant in known and not touched:
            continue
        proof = after.prover.prove(invariant)
        if proof.outcome is not Outcome.PROVEN:
            yield proof, invariant not in known or _worse(before, after, invariant)


def _worse(before: State, after: State, invariant: Invariant) -> bool:
    if before.prover.prove(invariant).outcome is Outcome.PROVEN:
        return True
    return not _broken_for(after, invariant) <= _broken_for(before, invariant)


def _broken_for(state: State, invariant: Invariant) -> frozenset[tuple[str, str]]:
    """The callers and targets, by name: a change may tell pods apart that were alike before."""
    return frozenset((_name(state, s), _name(state, t)) for s, t in state.prover.pairs(invariant))


def _name(state: State, point: Point) -> str:
    if not isinstance(point, int):
        return "outside"
    pod = state.prover.reaching.index.parties[point].pod
    return f"{pod.namespace}/{pod.service_account}"


def _differences(before: State, after: State) -> tuple[bool, bool]:
    """Whether some end lets more through after a change, and whether some lets less."""
    one, other = before.prover.reaching, after.prover.reaching
    if one.index is not other.index:
        return True, True
    pairs = {
        (id(was), id(is_)): (was, is_)
        for halves in ((one.ingress, other.ingress), (one.egress, other.egress))
        for was, is_ in zip(*halves, strict=True)
        if was is not is_
    }
    widened = any(not within(is_, was) for was, is_ in pairs.values())
    return widened, any(not within(was, is_) for was, is_ in pairs.values())


def within(one: Half, other: Half) -> bool:
    """Whether ``other`` certainly lets through all that ``one`` does, on ports with whatever names.

    Requests are not compared: where the rules about them differ it is not certain.
    """
    if one.about_requests != other.about_requests:
        return False
    for naming in namings(one.names | other.names):
        wider = other.openings(naming)
        for opening in one.openings(naming):
            ports = opening.ports
            for each in wider:
                ports = ports - each.ports if _covers(each, opening) else ports
            if not ports.empty:
                return False
    return True


def _covers(wide: Opening, narrow: Opening) -> bool:
    return (
        not narrow.perhaps & ~wide.perhaps
        and not narrow.surely & ~wide.surely
        and (narrow.addresses - wide.addresses).empty
    )
