"""What is left of an Allow when the Denies are taken out, in pieces that a NetworkPolicy can say.

A region is (pods governed) x (peer) x (ports). A Deny cuts it into: the pods that the Deny does not govern, as they
were; of those that it does, the peers that it does not name, as they were; and for the peers that it names, the
ports that it leaves. Where one of these differences cannot be written as selectors, blocks of addresses and ports,
the Allow is held back as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ringfence.model.effective import (
    AddressPeers,
    EffectiveRule,
    Everyone,
    PodPeers,
    RuleRef,
    Unidentified,
)
from ringfence.model.labels import LabelBox, missing
from ringfence.model.names import LABEL_ENROLL, LABEL_IDENTITY
from ringfence.model.net import Inexpressible, IpSet, PortSet
from ringfence.policy.peers import ANY_POD, ENROLLED
from ringfence.policy.uniting import united_pods

#: Pieces that one Allow may fall into. Each Deny can double them; beyond this it is refused, never computed.
MAX_PIECES: Final = 128
#: Comparisons of regions for one Allow, each some ten microseconds.
MAX_STEPS: Final = 5000

WORLD: Final = IpSet.of("0.0.0.0/0") | IpSet.of("::/0")


@dataclass(frozen=True, slots=True)
class Outside:
    """Every address that is no pod's: part of what a Deny of unidentified callers names."""


Atom = PodPeers | AddressPeers | Everyone | Outside

_UNENROLLED: Final = PodPeers(LabelBox.of({LABEL_ENROLL: ~ENROLLED}), LabelBox())
_UNLABELLED: Final = PodPeers(LabelBox.of({LABEL_ENROLL: ENROLLED}), LabelBox.of({LABEL_IDENTITY: missing()}))


@dataclass(frozen=True, slots=True)
class Region:
    """Calls between the governed pods of ``subject`` and ``peer`` on ``ports``."""

    subject: LabelBox
    peer: Atom
    ports: PortSet


@dataclass(frozen=True, slots=True)
class Cut:
    """One peer of a Deny, with the rule that it comes from."""

    ref: RuleRef
    region: Region


@dataclass(frozen=True, slots=True)
class Left:
    """What Denies leave of an Allow.

    ``held_by`` is the Deny that cannot be taken out, with ``why`` for a person; then nothing is left. ``steps`` is how
    much work it was: each is a comparison of two regions.
    """

    regions: tuple[Region, ...]
    steps: int
    held_by: RuleRef | None = None
    why: str = ""


class _Held(Exception):
    def __init__(self, by: RuleRef, why: str) -> None:
        super().__init__(why)
        self.by = by


@lru_cache(maxsize=32768)
def remaining(allow: EffectiveRule, denies: tuple[EffectiveRule, ...], pod_cidrs: tuple[str, ...]) -> Left:
    """The regions of ``allow`` that no deny names; ``denies`` are in the order of their refs.

    Whether an Allow is held never depends on what other Denies leave of it: each is tried on the whole Allow, so
    that one Deny more can never bring an Allow back. Kept by value, since resolving and translating both ask, and
    most rules are the same when a namespace is compiled again.
    """
    start = regions_of(allow)
    cuts = [cut for deny in denies for cut in _cuts(deny) if any(_overlap(region, cut.region) for region in start)]
    steps = _Steps(sum(_weight(region.peer, cut.region.peer) for region in start for cut in cuts))
    try:
        return Left(_taken_out(start, cuts, pod_cidrs, steps), steps.taken)
    except _Held as held:
        return Left((), steps.taken, held.by, str(held))


def _weight(own: Atom, other: Atom) -> int:
    """Steps that comparing two peers is worth: lists of networks are compared network by network."""
    if isinstance(own, AddressPeers) and isinstance(other, AddressPeers):
        return 1 + len(own.addresses.blocks) * len(other.addresses.blocks) // 8
    return 1


@dataclass(slots=True)
class _Steps:
    """Counts the work on one Allow; deterministic, unlike a clock."""

    taken: int

    def take(self, number: int, cut: Cut) -> None:
        """Go on by so many steps; raises _Held beyond MAX_STEPS."""
        self.taken += number
        if self.taken > MAX_STEPS:
            raise _Held(cut.ref, "too many Denies overlap the rule in too many ways")


def _taken_out(
    start: Sequence[Region], cuts: Sequence[Cut], pod_cidrs: tuple[str, ...], steps: _Steps
) -> tuple[Region, ...]:
    """``start`` without ``cuts``; raises _Held."""
    if cuts:
        start = [piece for region in start for piece in _spread(region, cuts, pod_cidrs)]
    for cut in cuts if len(cuts) > 1 else ():
        steps.take(len(start), cut)
        for region in start:
            _less(region, cut)
    regions = start
    for cut in cuts:
        steps.take(len(regions), cut)
        regions = [piece for region in regions for piece in _less(region, cut)]
        if len(regions) > MAX_PIECES:
            raise _Held(cut.ref, f"what would be left falls into more than {MAX_PIECES} pieces")
    return tuple(regions)


@lru_cache(maxsize=32768)
def overlapping(allow: EffectiveRule, denies: tuple[EffectiveRule, ...]) -> tuple[EffectiveRule, ...]:
    """Those of ``denies`` that may match a call that ``allow`` matches."""
    start = regions_of(allow)
    return tuple(d for d in denies if any(_overlap(region, cut.region) for cut in _cuts(d) for region in start))


def less_box(boxes: Sequence[LabelBox], cut: LabelBox) -> list[LabelBox]:
    """The objects of disjoint ``boxes`` that are not in ``cut``."""
    return [piece for box in boxes for piece in box.minus(cut)]


def _cuts(deny: EffectiveRule) -> list[Cut]:
    return [Cut(deny.ref, region) for region in regions_of(deny)]


@lru_cache(maxsize=32768)
def regions_of(rule: EffectiveRule) -> tuple[Region, ...]:
    """What a rule names, in as few regions as can be: a rule may list thousands of peers."""
    atoms: list[Atom] = []
    pods: list[PodPeers] = []
    addresses: dict[bool, IpSet] = {}
    for peer in rule.peers:
        match peer:
            case AddressPeers(found, covers_pods):
                addresses[covers_pods] = addresses.get(covers_pods, IpSet()) | found
            case Unidentified():
                atoms += (_UNENROLLED, _UNLABELLED, Outside())
            case PodPeers():
                pods.append(peer)
            case Everyone():
                atoms.append(peer)
    atoms += united_pods(pods) if len(pods) > 1 else pods
    atoms += [AddressPeers(found, covers_pods) for covers_pods, found in sorted(addresses.items())]
    return tuple(Region(rule.subject, atom, rule.ports) for atom in atoms)


def _overlap(one: Region, other: Region) -> bool:
    # The cheapest question first: most pairs differ in their ports.
    return not (one.ports.disjoint(other.ports) or _apart(one.peer, other.peer) or one.subject.disjoint(other.subject))


def _apart(own: Atom, other: Atom) -> bool:
    """Whether two peers have certainly nobody in common."""
    match own, other:
        case PodPeers(), PodPeers():
            return own.namespaces.disjoint(other.namespaces) or own.pods.disjoint(other.pods)
        case (PodPeers(), AddressPeers(covers_pods=covers)) | (AddressPeers(covers_pods=covers), PodPeers()):
            return not covers
        case (PodPeers(), Outside()) | (Outside(), PodPeers()):
            return True
        case AddressPeers(), AddressPeers():
            return own.addresses.disjoint(other.addresses)
        case _:
            return False


def _spread(region: Region, cuts: Sequence[Cut], pod_cidrs: tuple[str, ...]) -> list[Region]:
    """Everyone, said in a way that the cuts can be taken out of: as pods and addresses apart, or by address alone."""
    if not isinstance(region.peer, Everyone):
        return [region]
    touching = [cut for cut in cuts if _overlap(region, cut.region)]
    by_address = [c for c in touching if isinstance(c.region.peer, AddressPeers) and c.region.peer.covers_pods]
    by_label = [c for c in touching if isinstance(c.region.peer, PodPeers | Outside)]
    if not touching:
        return [region]
    if by_address and by_label:
        raise _Held(by_address[0].ref, "it names pods by address, and another Deny names pods by label")
    if by_label and not pod_cidrs:
        raise _Held(by_label[0].ref, "pods cannot be told from other addresses while `podCIDRs` is not configured")
    if by_address or not pod_cidrs:
        peers: list[Atom] = [AddressPeers(WORLD, covers_pods=True)]
    else:
        peers = [ANY_POD, AddressPeers(WORLD.minus_networks(pod_cidrs))]
    return [Region(region.subject, peer, region.ports) for peer in peers]


def _less(region: Region, cut: Cut) -> list[Region]:
    if not _overlap(region, cut.region):
        return [region]
    try:
        kept, shared = _split(region.peer, cut.region.peer)
        ports = region.ports.minus(cut.region.ports)
    except Inexpressible as error:
        raise _Held(cut.ref, str(error)) from error
    inside = region.subject & cut.region.subject
    pieces = [Region(box, region.peer, region.ports) for box in region.subject.minus(cut.region.subject)]
    pieces += [Region(inside, peer, region.ports) for peer in kept]
    if not ports.empty:
        pieces += [Region(inside, peer, ports) for peer in shared]
    return pieces


def _split(own: Atom, other: Atom) -> tuple[list[Atom], list[Atom]]:
    """(those of ``own`` that are not in ``other``, those that are in both); raises Inexpressible."""
    match own, other:
        case PodPeers(), PodPeers():
            namespaces = own.namespaces & other.namespaces
            kept: list[Atom] = [PodPeers(box, own.pods) for box in own.namespaces.minus(other.namespaces)]
            kept += [PodPeers(namespaces, box) for box in own.pods.minus(other.pods)]
            return kept, [PodPeers(namespaces, own.pods & other.pods)]
        case AddressPeers(), AddressPeers():
            outside = own.addresses.minus(other.addresses)
            inside = own.addresses.minus(outside)
            return (
                [AddressPeers(outside, own.covers_pods)] if not outside.empty else [],
                [AddressPeers(inside, own.covers_pods)] if not inside.empty else [],
            )
        case AddressPeers(covers_pods=False), Outside():
            return [], [own]
        case (PodPeers(), AddressPeers()) | (AddressPeers(), PodPeers() | Outside()):
            raise Inexpressible("pods named by address and pods named by label cannot be taken out of each other")
        case _:
            raise Inexpressible("everyone cannot be taken apart")
