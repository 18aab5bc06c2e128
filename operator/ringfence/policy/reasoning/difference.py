"""What a change of policies means: the calls that become allowed, and those that become denied. Nothing else counts."""

from collections import defaultdict
from dataclasses import dataclass

from ringfence.model.effective import Direction
from ringfence.model.resources import MTLS
from ringfence.model.world import Workload
from ringfence.policy.algebra.diagram import NOTHING, Diagram, Split, intersect, split, subtract
from ringfence.policy.algebra.ports import Names
from ringfence.policy.algebra.values import Members
from ringfence.policy.reasoning.leaving import Leaving, at
from ringfence.policy.reasoning.limited import Limited, limited
from ringfence.policy.reasoning.side import SOURCE, Side, Stated, union_of
from ringfence.policy.transport import transport_of


@dataclass(frozen=True, slots=True)
class Change:
    """Calls that all changed: from any of ``sources`` to any of ``targets`` (bits of kinds), any of ``requests``."""

    targets: Members
    sources: Members
    requests: Diagram


@dataclass(frozen=True, slots=True)
class Transported:
    """Pods (bits of kinds) whose transport is another: from ``before`` to ``after``."""

    pods: Members
    before: MTLS
    after: MTLS

    @property
    def wider(self) -> bool:
        """Whether callers without an identity are told apart less than before."""
        return list(MTLS).index(self.after) < list(MTLS).index(self.before)


@dataclass(frozen=True, slots=True)
class Difference:
    """``gained`` are calls allowed by the new policies only, ``lost`` those allowed by the old ones only.

    Whoever is in a namespace of the new side only could not call before. What goes with a namespace that is gone is not
    told call by call: ``gone`` names these.
    """

    gained: tuple[Change, ...] = ()
    lost: tuple[Change, ...] = ()
    transport: tuple[Transported, ...] = ()
    gone: tuple[str, ...] = ()
    traffic: tuple[Limited, ...] = ()

    @property
    def wider(self) -> bool:
        """Whether anything is allowed, let in without mutual TLS, or let pass by a limit, that was not."""
        looser = any(each.wider for each in self.transport) or any(each.wider for each in self.traffic)
        return bool(self.gained) or looser


def difference(old: Side, new: Side) -> Difference:
    """What changed from one side to the other; both are about the same kinds of ends."""
    leaving_old, leaving_new = Leaving(old), Leaving(new)
    leavers = _changed_sources(leaving_old, leaving_new)
    gained, lost = [], []
    for target, kind in enumerate(old.kinds.all):
        stays = new.there if new.ends[target] is not None else 0
        changed = leavers | _arrivals(old, new, target)
        if not changed:
            continue
        before = intersect(_arriving(old, target), leaving_old.calls(target, changed, kind.names))
        after = intersect(_arriving(new, target), leaving_new.calls(target, changed, kind.names))
        only = Members(1 << target)
        gained.append((only, subtract(after, before)))
        lost.append((only, intersect(subtract(before, after), split(old.axes.source, [(Members(stays), True)]))))
    became, ceased = (_changes(split(old.axes.target, rows), old) for rows in (gained, lost))
    gone = sorted(old.world.namespaces.keys() - new.world.namespaces.keys())
    return Difference(became, ceased, transports(old, new), tuple(gone), limited(old, new))


def transports(old: Side, new: Side) -> tuple[Transported, ...]:
    """The pods that are there on both sides and whose transport is not the same."""
    found: dict[tuple[MTLS, MTLS], int] = defaultdict(int)
    for number, (was, is_) in enumerate(zip(old.ends, new.ends, strict=True)):
        if isinstance(was, Workload) and isinstance(is_, Workload):
            pair = (
                transport_of(old.effective(was.namespace), was.labels),
                transport_of(new.effective(is_.namespace), is_.labels),
            )
            if pair[0] is not pair[1]:
                found[pair] |= 1 << number
    return tuple(Transported(Members(bits), *pair) for pair, bits in sorted(found.items()))


def _arrivals(old: Side, new: Side, target: int) -> int:
    """Bits of the sources that a target does not let in as it did."""
    there = (old.ends[target] is None, new.ends[target] is None)
    alike = old.there == new.there and there[0] is there[1]
    # Most targets have the same rules that name the same ends: no set need be made to see that.
    stated = old.stated(target, Direction.INGRESS)
    alike = alike and stated == new.stated(target, Direction.INGRESS)
    if alike and (stated is not None or old.unruled(target) == new.unruled(target)):
        return 0
    before, after = _arriving(old, target), _arriving(new, target)
    return _sources(subtract(before, after), old) | _sources(subtract(after, before), new)


def _arriving(side: Side, target: int) -> Diagram:
    """Source and request of every call that a target takes, of the sources that there are."""
    if side.ends[target] is None:
        return NOTHING
    return intersect(side.let_in(target), split(side.axes.source, [(Members(side.there), True)]))


def _changed_sources(old: Leaving, new: Leaving) -> int:
    """Bits of the sources that may call others than before."""
    found = 0
    same: dict[tuple[Stated | None, Stated | None], bool] = {}
    for number, pair in enumerate(zip(old.stated, new.stated, strict=True)):
        if pair not in same:
            same[pair] = _let_out_the_same(old.side, new.side, *pair)
        if not same[pair] or (old.side.ends[number] is None) != (new.side.ends[number] is None):
            found |= 1 << number
    return found


def _let_out_the_same(old: Side, new: Side, before: Stated | None, after: Stated | None) -> bool:
    """Whether two sets of rules surely let out the same to every target."""
    names = {rule.ports.names for stated in (before, after) for rule, _ in stated or ()}
    if names - {()} and before != after:
        return False  # asked target by target then
    unnamed = Names()
    return before == after or old.leaving(before, unnamed) == new.leaving(after, unnamed)


def _sources(calls: Diagram, side: Side) -> int:
    if not isinstance(calls, Split) or calls.dimension.name != SOURCE:
        return side.there if calls is not NOTHING else 0
    return union_of(targets.bits for targets, _ in calls.rows)


def _changes(calls: Diagram, side: Side) -> tuple[Change, ...]:
    return tuple(
        Change(targets, sources, requests)
        for targets, rest in at(calls, side.axes.target)
        for sources, requests in at(rest, side.axes.source)
    )
