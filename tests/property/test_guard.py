"""What a change breaks is found whatever was kept from before it: the same as proving everything anew."""

from dataclasses import replace
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.labels import LabelBox
from ringfence.model.resources import (
    ClusterSecurityPolicy,
    Invariant,
    NamespacePeer,
    PolicySpec,
    PortSpec,
    Promise,
    ResourceMeta,
    SecurityPolicy,
)
from ringfence.model.world import World
from ringfence.policy.proof import guard, prove
from ringfence.policy.proof.guard import State
from ringfence.policy.proof.prove import Outcome
from ringfence.policy.resolve import resolve

from tests.property import worlds

INVARIANTS = (
    Invariant(Promise.NEVER, "a", (NamespacePeer("shop"),), (NamespacePeer("bank"),), direct=False),
    Invariant(Promise.NEVER, "b", None, (NamespacePeer("shop"),), (PortSpec(80),), unless=(NamespacePeer("shop"),)),
    Invariant(Promise.ALWAYS, "c", (NamespacePeer("bank"),), (NamespacePeer("shop"),), (PortSpec(8080),)),
)


@st.composite
def changes(draw: st.DrawFn) -> tuple[World, World]:
    """A world with invariants, and the same after a policy of shop has changed, come or gone."""
    made = draw(worlds.worlds())
    pool = draw(worlds.pools())
    spec = PolicySpec()
    promises = ClusterSecurityPolicy(ResourceMeta("promises"), LabelBox(), spec, invariants=INVARIANTS)
    world = replace(made, cluster_policies=(*made.cluster_policies, promises), workloads={})
    policies = draw(worlds.policies("shop", pool))
    kept: tuple[SecurityPolicy, ...] = world.policies.get("shop", ())
    return world, replace(world, policies={**world.policies, "shop": (*kept[: draw(st.integers(0, 2))], *policies)})


@settings(max_examples=40)
@given(changes())
def test_a_change_breaks_what_proving_anew_says(change: tuple[World, World]) -> None:
    before, after = change
    former = State.of(before)
    state = State.of(after, former)
    told = {proof.invariant: (proof, worse) for proof, worse in guard.broken(former, state)}
    anew, old = (
        {each: prover.prove(each) for each in INVARIANTS}
        for prover in (prove.prover(w, cache(lambda name, w=w: resolve(w, name))) for w in (after, before))
    )
    for invariant in INVARIANTS:
        held, holds = old[invariant].outcome is Outcome.PROVEN, anew[invariant].outcome is Outcome.PROVEN
        if invariant in told:
            proof, worse = told[invariant]
            assert not holds
            assert proof.outcome is anew[invariant].outcome
            assert worse or not held
        else:
            # It holds, or nothing that it rests on has changed.
            assert holds or not held
