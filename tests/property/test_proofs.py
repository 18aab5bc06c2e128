"""What is proven of all calls at once is what `decide` says of each: brute force over every pair, port and name."""

import random
from collections.abc import Callable, Iterator
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from ringfence.model.effective import Direction
from ringfence.model.errors import CannotTell
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.net import PortSet
from ringfence.model.requests import Asked, Opaque
from ringfence.model.resources import (
    AnonymousPeer,
    CidrPeer,
    IdentityPeer,
    Invariant,
    NamespacePeer,
    Peer,
    PortSpec,
    Promise,
    Protocol,
    ZonePeer,
)
from ringfence.model.spans import Spans
from ringfence.model.world import ContainerPort, Workload, World
from ringfence.policy import decide, ends
from ringfence.policy.decide import Effective
from ringfence.policy.ends import Address, End
from ringfence.policy.proof import prove, tell
from ringfence.policy.proof.parties import MAX_CLASSES, Party, classes, possible
from ringfence.policy.proof.ports import KINDS
from ringfence.policy.proof.prove import Outcome, Proof, Prover
from ringfence.policy.proof.reaching import Ends, Point, Reaching
from ringfence.policy.resolve import resolve

from tests.property import worlds

#: Ports, with the names that a pod may give to them; what rules ask for and what none does.
PORTS = ((Protocol.TCP, 1), (Protocol.TCP, 53), (Protocol.TCP, 80), (Protocol.TCP, 9090), (Protocol.UDP, 53))
NAMINGS = ((), ("http",), ("metrics",), ("http", "metrics"))
PAIRS = 40
#: Parties of a world of which brute force asks about every pair.
MOST = 14


def judged(
    world: World,
    effective: Effective,
    source: End,
    target: End,
    protocol: Protocol,
    port: int,
    request: Asked = None,
) -> bool | None:
    """Whether a call passes, None when it cannot be told: each half asked of the judge by itself."""
    answers = [
        half(world, effective, direction, sides, (protocol, port), request)
        for direction, sides in ((Direction.EGRESS, (source, target)), (Direction.INGRESS, (target, source)))
    ]
    return False if False in answers else None if None in answers else True


def half(
    world: World,
    effective: Effective,
    direction: Direction,
    sides: tuple[End, End],
    at: tuple[Protocol, int],
    request: Asked = None,
) -> bool | None:
    """What the first of ``sides`` says of the other."""
    (governed, other), (protocol, port) = sides, at
    if not isinstance(governed, Workload) or not effective(governed.namespace).closed:
        return True
    target = other if direction is Direction.EGRESS else governed
    names = ends.port_names(target, port, protocol)
    sent = request if direction is Direction.INGRESS else None
    call = decide.Call(world, direction, governed, other, protocol, port, names, request=sent)
    try:
        return decide.judge(effective(governed.namespace), call).allowed
    except CannotTell:
        return None


def named(end: End, protocol: Protocol, port: int, names: tuple[str, ...]) -> End:
    """The end with a port of these names."""
    if isinstance(end, Address):
        return end
    ports = tuple(ContainerPort(name, port, protocol) for name in names)
    return Workload(end.namespace, end.name, end.service_account, end.labels, end.ips, ports)


def policies_of(world: World) -> Effective:
    return cache(lambda namespace: resolve(world, namespace))


def ways(target: End) -> Iterator[tuple[Protocol, int, tuple[str, ...]]]:
    for protocol, port in PORTS:
        for names in NAMINGS if isinstance(target, Workload) else ((),):
            yield protocol, port, names


def one(protocol: Protocol, port: int) -> Spans:
    return Spans(((KINDS[protocol], port, port),))


OUTSIDE = [Address(ip) for ip in worlds.OUTSIDE]


def points(reaching: Reaching) -> list[tuple[Point, End]]:
    """The parties and some addresses, each as the prover and as the judge know it."""
    inside: list[tuple[Point, End]] = [(n, party.pod) for n, party in enumerate(reaching.index.parties)]
    return inside + [(Spans.of_addresses((each.ip,)), each) for each in OUTSIDE]


def pairs(reaching: Reaching, chance: random.Random) -> Iterator[tuple[tuple[Point, End], tuple[Point, End]]]:
    """Some sources and targets; from outside to outside is nobody's business."""
    known = points(reaching)
    for _ in range(PAIRS):
        source, target = chance.choice(known), chance.choice(known)
        if not (isinstance(source[0], Spans) and isinstance(target[0], Spans)):
            yield source, target


@settings(max_examples=40)
@given(worlds.worlds() | worlds.about_requests(), st.randoms(use_true_random=False))
def test_a_call_passes_as_decide_says(world: World, chance: random.Random) -> None:
    effective = policies_of(world)
    reaching = Reaching(world, effective, possible(world, effective))
    for (source, caller), (target, called) in pairs(reaching, chance):
        found = list(reaching.calls(source, target))
        for protocol, port, names in ways(called):
            answer = judged(world, effective, caller, named(called, protocol, port, names), protocol, port)
            held = [each for each in found if {name.name for name in each.names} <= set(names)]
            hits = [each for each in held if not (each.ports & one(protocol, port)).empty]
            if answer is not False:
                # Fewer names may be enough; what passes with these is found with some of them.
                assert any(each.surely for each in hits) if answer else hits, (caller, called, protocol, port, names)
            exact = [each for each in hits if {name.name for name in each.names} == set(names)]
            if exact:
                assert answer is (True if any(each.surely for each in exact) else None)


@settings(max_examples=40)
@given(worlds.worlds() | worlds.about_requests(), st.randoms(use_true_random=False))
def test_a_call_is_closed_as_decide_says(world: World, chance: random.Random) -> None:
    effective = policies_of(world)
    reaching = Reaching(world, effective, possible(world, effective))
    for (source, caller), (target, called) in pairs(reaching, chance):
        for protocol, port in PORTS:
            asked = PortSet.of((PortSpec(port, None, protocol),))
            answers = {
                judged(world, effective, caller, named(called, protocol, port, names), protocol, port, Opaque())
                for names in NAMINGS
            }
            certain = reaching.closed(source, target, asked, surely=False)
            assert (certain is not None) == (False in answers), (caller, called, protocol, port)
            doubtful = reaching.closed(source, target, asked, surely=True)
            assert (doubtful is not None) == bool({False, None} & answers)


@given(worlds.worlds())
def test_every_pod_is_like_some_party(world: World) -> None:
    effective = policies_of(world)
    parties = possible(world, effective)
    pods = [p for found in world.workloads.values() for p in found if not p.host_network]
    for pod in pods:
        if LABEL_IDENTITY in pod.labels and pod.service_account not in worlds.IDENTITIES:
            continue  # a ServiceAccount that has no ServiceIdentity: what denies it by name is all that sets it apart
        if effective(pod.namespace).closed and not pod.labelled:
            continue
        assert any(_alike(world, effective, pod, party) for party in parties), pod


def _alike(world: World, effective: Effective, pod: Workload, party: Party) -> bool:
    """Whether no rule of the world tells the pod from the party."""
    own = party.pod
    policy = effective(pod.namespace)
    if own.namespace != pod.namespace:
        return False
    boxes: list[LabelBox] = [*(rule.subject for rule in policy.rules), *policy.egress_listed] if policy.closed else []
    same_subject = all(box.matches(pod.labels) == box.matches(own.labels) for box in boxes)
    peers = {peer for name in world.namespaces for rule in effective(name).rules for peer in rule.peers}
    answers = ((decide.matches(peer, own, world), decide.matches(peer, pod, world)) for peer in peers)
    return same_subject and all(one is None or one == other for one, other in answers)


@cache
def peer_lists() -> st.SearchStrategy[tuple[Peer, ...]]:
    some: list[st.SearchStrategy[Peer]] = [
        st.builds(ZonePeer, st.sampled_from((*worlds.ZONES, "nowhere"))),
        st.builds(NamespacePeer, st.sampled_from((*worlds.NAMESPACES, "lab", "legacy"))),
        st.builds(IdentityPeer, st.sampled_from((*worlds.NAMESPACES, "lab")), st.sampled_from(worlds.IDENTITIES)),
        st.just(AnonymousPeer()),
        st.just(CidrPeer("203.0.113.0/24")),
    ]
    return st.lists(st.one_of(some), min_size=1, max_size=2).map(tuple)


@st.composite
def nevers(draw: st.DrawFn) -> Invariant:
    ports = draw(st.sampled_from((None, (PortSpec(80),), (PortSpec("http"),), (PortSpec(53, None, Protocol.UDP),))))
    return Invariant(
        Promise.NEVER,
        "never",
        draw(st.one_of(st.none(), peer_lists())),
        draw(peer_lists()),
        ports,
        unless=draw(st.one_of(st.just(()), peer_lists())),
        direct=draw(st.booleans()),
        through=draw(st.one_of(st.just(()), peer_lists())),
    )


def shortest(relation: dict[tuple[int, int], bool], last: set[tuple[int, int]], query: "_Query") -> int:
    """Calls on the shortest way by brute force, 0 for none; ``relation`` are the calls that pass on any port."""
    distance = {source: 1 for source, target in last if target in query.targets}
    frontier = set(distance)
    hops = 1
    while frontier and not query.sources & distance.keys() and not query.direct:
        hops += 1
        carriers = frontier & query.carriers
        frontier = {s for (s, t) in relation if t in carriers} - distance.keys()
        distance |= dict.fromkeys(frontier, hops)
    return min((distance[s] for s in query.sources & distance.keys()), default=0)


class _Query:
    """An invariant in brute force: points are numbers, the parties' first, then some addresses."""

    def __init__(self, prover: Prover, invariant: Invariant, count: int) -> None:
        reaching = prover.reaching
        named_ = prove.Named(prover.world, reaching)
        self.direct = invariant.direct
        self.sources = self._numbers(reaching, named_.sources(invariant), count)
        self.targets = self._numbers(reaching, named_.targets(invariant), count)
        through = self._numbers(reaching, named_.ends(invariant.through), count)
        parties = reaching.index.parties
        self.carriers = {n for n, party in enumerate(parties) if not party.platform} - through

    def _numbers(self, reaching: Reaching, ends_: Ends, count: int) -> set[int]:
        found = set(reaching.index.bits(ends_.parties))
        outside = enumerate(OUTSIDE, start=count)
        return found | {n for n, each in outside if not (Spans.of_addresses((each.ip,)) & ends_.addresses).empty}


def passing(world: World, effective: Effective, caller: End, called: End, ports: PortSet) -> bool | None:
    """Whether some call on one of the ports passes; None when that rests on what is not known."""
    found: bool | None = False
    for protocol, port, names in ways(called):
        if not ports.contains(protocol, port, names):
            continue
        answer = judged(world, effective, caller, named(called, protocol, port, names), protocol, port)
        found = True if True in (answer, found) else None if None in (answer, found) else False
    return found


@settings(max_examples=25)
@given(worlds.worlds(), nevers())
def test_proofs_agree_with_brute_force(world: World, invariant: Invariant) -> None:
    effective = policies_of(world)
    prover = prove.prover(world, effective)
    proof = prover.prove(invariant)
    check_counterexample(world, effective, proof)
    asked = PortSet.of(invariant.ports)
    agrees(prover, effective, proof, lambda caller, called: passing(world, effective, caller, called, asked))
    # The prover knows every port and address, brute force only some: it may find more, and then shows it.


def agrees(prover: Prover, effective: Effective, proof: Proof, last: Callable[[End, End], bool | None]) -> None:
    """What a proof says of a way is what brute force finds; ``last`` says whether some call that counts passes.

    Worlds of many parties are left out: brute force asks about every pair.
    """
    ends_ = [*(party.pod for party in prover.reaching.index.parties), *OUTSIDE]
    count = len(ends_) - len(OUTSIDE)
    if count > MOST:
        return
    pairs_ = [(s, t) for s in range(len(ends_)) for t in range(len(ends_)) if min(s, t) < count]
    everything = PortSet(everything=True)
    any_port = {(s, t): passing(prover.world, effective, ends_[s], ends_[t], everything) for s, t in pairs_}
    on_last = {(s, t): last(ends_[s], ends_[t]) for s, t in pairs_}
    query = _Query(prover, proof.invariant, count)
    sure, hoped = (
        shortest(
            {pair: True for pair, answer in any_port.items() if answer in accepted},
            {pair for pair, answer in on_last.items() if answer in accepted},
            query,
        )
        for accepted in ((True,), (True, None))
    )
    if proof.outcome is Outcome.PROVEN:
        assert not hoped
    elif sure:
        assert proof.outcome is Outcome.VIOLATED
        assert len(proof.steps) <= sure


def check_counterexample(world: World, effective: Effective, proof: Proof) -> None:
    """Each call of a counterexample passes for the judge, and each begins where the last one ended."""
    for step in proof.steps:
        answer = judged(world, effective, step.source, step.target, step.protocol, step.port)
        assert answer is not False
        if proof.outcome is Outcome.VIOLATED:
            assert answer is True
            assert tell.verdict(world, effective, step) is not None
    for before, after in zip(proof.steps, proof.steps[1:], strict=False):
        assert before.target.labels == after.source.labels  # type: ignore[union-attr]
    assert bool(proof.steps) == (proof.outcome is not Outcome.PROVEN)


@given(
    st.lists(worlds.pod_boxes(), max_size=4),
    st.dictionaries(st.sampled_from(("app", "tier")), st.text("ab"), max_size=2),
)
def test_classes_tell_all_pods_apart(boxes: list[LabelBox], own: dict[str, str]) -> None:
    found = classes(LabelBox(), boxes)
    assert len(found) <= MAX_CLASSES
    signatures = {tuple(box.matches(labels) for box in boxes) for labels in found}
    assert tuple(box.matches(own) for box in boxes) in signatures


@given(worlds.worlds())
def test_pairs_are_the_sources_and_targets_of_which_it_does_not_hold(world: World) -> None:
    effective = policies_of(world)
    prover = prove.prover(world, effective)
    invariant = Invariant(Promise.NEVER, "n", (NamespacePeer("shop"),), (NamespacePeer("bank"),), direct=True)
    index = prover.reaching.index
    direct = {
        (s, t)
        for s in index.bits(index.mask("shop"))
        for t in index.bits(index.mask("bank"))
        if prover.reaching.passes(s, t, PortSet(everything=True), surely=False)
    }
    assert prover.pairs(invariant) == direct
    assert bool(direct) == (prover.prove(invariant).outcome is not Outcome.PROVEN)
