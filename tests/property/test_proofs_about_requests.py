"""What is proven of requests is what `decide` says of each: brute force over pairs, ports, names and requests."""

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import event, given, settings
from hypothesis import strategies as st
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked, HttpMatch, Opaque, Request, Requests
from ringfence.model.resources import Action, Invariant, PortSpec, Promise
from ringfence.model.world import World
from ringfence.policy import requests
from ringfence.policy.decide import Effective
from ringfence.policy.ends import End
from ringfence.policy.proof import asked, prove
from ringfence.policy.proof.prove import Outcome, Proof

from tests.property import worlds
from tests.property.test_proofs import agrees, judged, named, nevers, peer_lists, policies_of
from tests.property.test_proofs import ways as every_way

#: Requests that rules of these worlds tell apart.
SENT: tuple[Request, ...] = (
    Request("GET", "/a/x"),
    Request("POST", "/a/x"),
    Request("DELETE", "/a/x/y"),
    Request("get", "/a/x"),
    Request("GET", "/b"),
    Request("GET", "/b/"),
    Request("PUT", "/c"),
    Request("GET", "/a/x", headers={"x-env": ("prod",)}),
    Request("PUT", "/c", headers={"x-env": ("test",)}),
    Request("GET", "/a/x", upgrade="websocket"),
    Request("CONNECT", "", "pay.shop:443"),
)
HTTP = (
    (HttpMatch(("GET",), ("/a/*",)),),
    (HttpMatch(("DELETE",)),),
    (HttpMatch(("POST", "PUT")), HttpMatch(paths=("/b",))),
    (HttpMatch(("PUT",), ("/c",)),),
    (HttpMatch(paths=("/{*}/x",)),),
)
MOST = 12


def about(invariant: Invariant) -> Iterator[Asked]:
    """The requests of SENT that an invariant is about; of what must never come bytes too."""
    never = invariant.promise is Promise.NEVER
    action = Action.DENY if never else Action.ALLOW
    yield from (each for each in SENT if requests.matches(Requests(invariant.http), each, action))
    if never:
        yield Opaque()


def on_last(world: World, effective: Effective, pair: tuple[End, End], invariant: Invariant) -> bool | None:
    """Whether some call that an invariant is about passes from one end to the other."""
    caller, called = pair
    ports = PortSet.of(invariant.ports)
    answers = {
        judged(world, effective, caller, named(called, protocol, port, names), protocol, port, request)
        for protocol, port, names in every_way(called)
        if ports.contains(protocol, port, names)
        for request in about(invariant)
    }
    return True if True in answers else None if None in answers else False


def check(world: World, effective: Effective, proof: Proof) -> None:
    """The last call of a counterexample is one that the invariant is about, and the judge says of it what it shall."""
    never = proof.invariant.promise is Promise.NEVER
    for number, step in enumerate(proof.steps):
        answer = judged(world, effective, step.source, step.target, step.protocol, step.port, step.request)
        assert answer is (never if proof.outcome is Outcome.VIOLATED else None)
        if number == len(proof.steps) - 1:
            sent = step.request
            assert sent is not None
            action = Action.DENY if never else Action.ALLOW
            named_ = isinstance(sent, Request) and requests.matches(Requests(proof.invariant.http), sent, action)
            assert named_ or (never and isinstance(sent, Opaque)), sent
    assert bool(proof.steps) == (proof.outcome is not Outcome.PROVEN)


@settings(max_examples=30)
@given(worlds.about_requests(), nevers(), st.sampled_from(HTTP))
def test_what_can_never_come_agrees_with_brute_force(
    world: World, invariant: Invariant, http: tuple[HttpMatch, ...]
) -> None:
    invariant = replace(invariant, http=http)
    effective = policies_of(world)
    prover = prove.prover(world, effective)
    proof = prover.prove(invariant)
    event(proof.outcome)
    check(world, effective, proof)
    agrees(prover, effective, proof, lambda caller, called: on_last(world, effective, (caller, called), invariant))


@settings(max_examples=30)
@given(
    worlds.about_requests(),
    peer_lists(),
    peer_lists(),
    st.sampled_from(((PortSpec(80),), (PortSpec("http"),), (PortSpec(80), PortSpec(9090)))),
    st.sampled_from(HTTP),
)
def test_what_always_passes_agrees_with_brute_force(
    world: World, sources: tuple[object, ...], targets: tuple[object, ...], ports: tuple[PortSpec, ...], http: object
) -> None:
    invariant = Invariant(Promise.ALWAYS, "a", sources, targets, ports, http=http)  # type: ignore[arg-type]
    effective = policies_of(world)
    prover = prove.prover(world, effective)
    proof = prover.prove(invariant)
    event(proof.outcome)
    check(world, effective, proof)
    if proof.outcome is not Outcome.PROVEN:
        return
    named_ = prove.Named(world, prover.reaching)
    callers, called = (
        [prover.reaching.index.parties[n].pod for n in prover.reaching.index.bits(named_.real(found).parties)]
        for found in (named_.sources(invariant), named_.targets(invariant))
    )
    wanted = PortSet.of(ports)
    for source in callers[:MOST]:
        for target in called[:MOST]:
            for protocol, port, names in every_way(target):
                if source is target or not wanted.contains(protocol, port, names):
                    continue
                for sent in about(invariant):
                    at = named(target, protocol, port, names)
                    assert judged(world, effective, source, at, protocol, port, sent) is True, (source, at, sent)


@given(worlds.about_requests(), st.sampled_from(HTTP))
def test_an_example_is_one_of_its_set(world: World, http: tuple[HttpMatch, ...]) -> None:
    """Whatever rules leave of a set of requests, the example that is shown is in it."""
    del world
    invariant = Invariant(Promise.NEVER, "n", None, None, http=http)
    whole = asked.of(invariant)
    assert whole is not None
    found = asked.example(whole)
    assert isinstance(found, Request)
    assert requests.matches(Requests(http), found, Action.DENY)
