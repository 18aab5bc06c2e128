"""Callers narrowed by conditions on who they are: known beforehand, so that nothing is left to ask when a call comes.

What is not known counts against the caller: an Allow does not name it, a Deny does. So a Deny that names no callers
otherwise also names those that have no identity at all (ADR 0211).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ringfence.model.effective import EffectivePeer, PodPeers, Unidentified
from ringfence.model.labels import ANY_VALUE, LabelBox, ValueSet, exists, missing, none_of, one_of
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME, LABEL_ZONE, MAX_LABEL_VALUE
from ringfence.model.requests import Asks
from ringfence.model.resources import Action, IdentityPeer, Rule, SpiffePeer, ZonePeer
from ringfence.model.sources import SourceAttribute, SourceCondition
from ringfence.model.spiffe import SpiffeId
from ringfence.model.world import World

#: (namespace, ServiceAccount).
Account = tuple[str, str]
Conditions = tuple[SourceCondition, ...]

_KEYS = {SourceAttribute.NAMESPACE: LABEL_NAMESPACE_NAME, SourceAttribute.ZONE: LABEL_ZONE}


def about_labels(conditions: Iterable[SourceCondition]) -> Conditions:
    """Those of the conditions that are about labels."""
    return tuple(each for each in conditions if each.attribute is SourceAttribute.LABEL)


@dataclass(frozen=True, slots=True)
class Labelled:
    """Conditions on labels, and where those callers are whom the rule may name: so that nobody looks at all others.

    In these ``namespaces`` and in those of these ``zones``; ``everywhere`` if the rule does not say.
    """

    conditions: Conditions
    namespaces: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    everywhere: bool = False


def asked(rule: Rule) -> Labelled | None:
    """What a rule asks of labels; None for nothing."""
    conditions = about_labels(rule.source)
    if not conditions:
        return None
    bounds = {each.attribute: each.values for each in rule.source if each.test is Asks.IN}
    if SourceAttribute.NAMESPACE in bounds:
        return Labelled(conditions, namespaces=bounds[SourceAttribute.NAMESPACE])
    if SourceAttribute.ZONE in bounds:
        return Labelled(conditions, zones=bounds[SourceAttribute.ZONE])
    spaces: set[str] = set()
    zones: set[str] = set()
    for peer in rule.peers or (None,):
        match peer:
            case IdentityPeer(namespace):
                spaces.add(namespace)
            case ZonePeer(zone):
                zones.add(zone)
            case SpiffePeer(spiffe_id) if account := SpiffeId.parse(spiffe_id).service_account():
                spaces.add(account[0])
            case _:
                return Labelled(conditions, everywhere=True)
    return Labelled(conditions, tuple(sorted(spaces)), tuple(sorted(zones)))


def labelled(wanted: Labelled, world: World) -> tuple[Account, ...]:
    """The ServiceAccounts, sorted, all of whose ServiceIdentities have labels that satisfy all the conditions."""
    names: Iterable[str] = world.identities if wanted.everywhere else wanted.namespaces
    if wanted.zones:
        inside = (name for name, each in world.namespaces.items() if each.zone in wanted.zones)
        names = {*names, *inside}
    found = []
    for namespace in names:
        by_account: dict[str, bool] = defaultdict(lambda: True)
        for identity in world.identities.get(namespace, {}).values():
            fits = all(_fits(each, dict(identity.labels)) for each in wanted.conditions)
            by_account[identity.service_account] = by_account[identity.service_account] and fits
        found += [(namespace, name) for name, fits in by_account.items() if fits and len(name) <= MAX_LABEL_VALUE]
    return tuple(sorted(found))


def _fits(condition: SourceCondition, labels: Mapping[str, str]) -> bool:
    value = labels.get(condition.label)
    match condition.test:
        case Asks.EXISTS:
            return value is not None
        case Asks.ABSENT:
            return value is None
        case Asks.IN:
            return value in condition.values
        case _:
            return value is not None and value not in condition.values


def namespaces(conditions: Iterable[SourceCondition], action: Action) -> LabelBox:
    """The namespaces of which all conditions hold in a rule of this action; labels of identities aside."""
    box = LabelBox()
    for condition in conditions:
        if condition.attribute is not SourceAttribute.LABEL:
            values = _values(condition, deny=action is Action.DENY)
            box &= LabelBox.of({_KEYS[condition.attribute]: values})
    return box


def _values(condition: SourceCondition, *, deny: bool) -> ValueSet:
    match condition.test:
        case Asks.EXISTS:
            return exists()
        case Asks.ABSENT:
            return missing()
        case Asks.IN:
            # Every namespace has a name, so that nothing is missing there.
            unknown = deny and condition.attribute is SourceAttribute.ZONE
            return one_of(*condition.values) | missing() if unknown else one_of(*condition.values)
        case _:
            if deny or condition.attribute is SourceAttribute.NAMESPACE:
                return none_of(*condition.values)
            return none_of(*condition.values) & exists()


def narrowed(
    peers: Iterable[EffectivePeer], conditions: Conditions, action: Action, accounts: Iterable[Account]
) -> Iterator[EffectivePeer]:
    """What the conditions leave of the peers; ``accounts`` are those that satisfy the ones about labels.

    Peers that are no identities are left to a Deny as they are, and taken from an Allow.
    """
    box = namespaces(conditions, action)
    by_namespace: dict[str, list[str]] = defaultdict(list)
    if about_labels(conditions):
        for namespace, account in accounts:
            by_namespace[namespace].append(account)
    for peer in peers:
        if not isinstance(peer, PodPeers) or peer.pods.get(LABEL_IDENTITY).absent:
            if action is Action.DENY:
                yield peer
            continue
        inside = PodPeers(peer.namespaces & box, peer.pods)
        for each in _of(inside, by_namespace) if about_labels(conditions) else (inside,):
            if not (each.namespaces.empty or each.pods.empty):
                yield each


def _of(peer: PodPeers, accounts: Mapping[str, list[str]]) -> Iterator[PodPeers]:
    for namespace, names in accounts.items():
        here = peer.namespaces & LabelBox.of({LABEL_NAMESPACE_NAME: one_of(namespace)})
        yield PodPeers(here, peer.pods & LabelBox.of({LABEL_IDENTITY: one_of(*names)}))


def contradictory(rule: Rule) -> bool:
    """Whether the conditions leave none of the callers of a rule, whatever namespaces and identities there are."""
    if not rule.source or (rule.action is Action.DENY and rule.peers is None):
        return False
    box = namespaces(rule.source, rule.action)
    for peer in rule.peers or (None,):
        match peer:
            case IdentityPeer(namespace):
                inside = LabelBox.of({LABEL_NAMESPACE_NAME: one_of(namespace)})
            case ZonePeer(zone):
                inside = LabelBox.of({LABEL_ZONE: one_of(zone)})
            case _:
                inside = LabelBox()
        if not (inside & box).empty:
            return not _possible(about_labels(rule.source))
    return True


def _possible(conditions: Conditions) -> bool:
    """Whether labels could satisfy all conditions on them."""
    by_label: dict[str, ValueSet] = {}
    for each in conditions:
        values = _values(each, deny=False)
        by_label[each.label] = by_label.get(each.label, ANY_VALUE) & values
    return not any(values.empty for values in by_label.values())


def strangers(conditions: Conditions, action: Action, *, named: bool) -> tuple[EffectivePeer, ...]:
    """Callers of whom nothing is known, where a rule means them: one that denies and names (``named``) nobody else."""
    return (Unidentified(),) if conditions and action is Action.DENY and not named else ()
