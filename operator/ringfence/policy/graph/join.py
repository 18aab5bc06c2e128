"""Fewer edges that say the same: one to or from a whole namespace, a zone or everybody, instead of one for each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Final

from ringfence.policy.graph.model import ANYONE, EVERYONE_OF, By, Kind, Node, group
from ringfence.policy.graph.open import Calls, Open

#: A group of fewer is not worth a box of its own.
FEWEST: Final = 3

Group = tuple[str, frozenset[str]]


def groups(nodes: Mapping[str, Node], by: By) -> tuple[Group, ...]:
    """All, each zone and each namespace, the largest first, with the keys of their members."""
    zones, spaces = defaultdict[str, set[str]](set), defaultdict[str, set[str]](set)
    everyone = set()
    for node in nodes.values():
        if node.kind in (Kind.IDENTITY, Kind.NAMESPACE, Kind.ZONE):
            everyone.add(node.key)
            if node.zone and node.kind is not Kind.ZONE:
                zones[node.zone].add(node.key)
            if node.kind is Kind.IDENTITY:
                spaces[node.namespace].add(node.key)
    found = [(EVERYONE_OF[by], everyone)]
    # A zone of one namespace is that namespace.
    wide = ((name, keys) for name, keys in sorted(zones.items()) if keys not in spaces.values())
    found += [(group(Kind.ZONE, name), keys) for name, keys in wide if keys != everyone]
    found += [(group(Kind.NAMESPACE, name), keys) for name, keys in sorted(spaces.items())]
    return tuple((key, frozenset(keys)) for key, keys in found if len(keys) >= FEWEST)


def joined(calls: Calls, every: Sequence[Group]) -> Calls:
    """The same calls with fewer edges: first where one may call all of a group, then where all of one may call."""
    return _sources(_targets(without_anyone(calls), every), every)


def without_anyone(calls: Calls) -> Calls:
    """The same calls, without what anyone may do as well."""
    found = {
        (source, target): open_ - calls[ANYONE, target] if source != ANYONE and (ANYONE, target) in calls else open_
        for (source, target), open_ in calls.items()
    }
    return {ends: open_ for ends, open_ in found.items() if not open_.empty}


def _targets(calls: Calls, every: Sequence[Group]) -> Calls:
    by_source: dict[str, dict[str, Open]] = defaultdict(dict)
    for (source, target), open_ in calls.items():
        by_source[source][target] = open_
    return {
        (source, target): open_
        for source, targets in by_source.items()
        for target, open_ in _together(targets, source, every).items()
    }


def _sources(calls: Calls, every: Sequence[Group]) -> Calls:
    by_target: dict[str, dict[str, Open]] = defaultdict(dict)
    for (source, target), open_ in calls.items():
        by_target[target][source] = open_
    return {
        (source, target): open_
        for target, sources in by_target.items()
        for source, open_ in _together(sources, target, every).items()
    }


def _together(others: Mapping[str, Open], own: str, every: Iterable[Group]) -> dict[str, Open]:
    """What one end and its others have, with what all of a group have said once."""
    left = dict(others)
    for key, members in every:
        wanted = members - {own}
        if len(wanted) < FEWEST - 1 or not wanted <= left.keys():
            continue
        common = reduce(and_, (left[member] for member in sorted(wanted)))
        if not common.empty:
            rest = {member: left[member] - common for member in wanted}
            left = {member: open_ for member, open_ in (left | rest).items() if not open_.empty} | {key: common}
    return left
