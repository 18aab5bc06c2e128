"""Which Allows are held back, because a Deny overlaps them in a way that no NetworkPolicy can express."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ringfence.model.effective import Direction, EffectiveRule, PodPeers, RuleRef
from ringfence.model.labels import LabelBox, ValueSet
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.resources import Action, Mode
from ringfence.policy import regions
from ringfence.policy.builtins import is_inside
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason

#: Stands for "any" in the index; no identity and no namespace has this name.
_ANY = "*"


@dataclass(slots=True)
class DenyIndex:
    """The Denies of one direction by the identities that they govern and the namespaces of their peers.

    Most policies govern a few identities and name peers in a few namespaces; looking Denies up by these keeps the
    work proportional to what really overlaps.
    """

    _rules: list[EffectiveRule] = field(default_factory=list)
    _by_keys: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    _subjects: set[str] = field(default_factory=set)
    _spaces: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, rules: Iterable[EffectiveRule], direction: Direction, *, audit: bool = False) -> "DenyIndex":
        """Index the Denies among ``rules`` (sorted by ref); those in mode Audit only with ``audit``."""
        index = cls()
        for rule in rules:
            if rule.action is Action.DENY and rule.direction is direction and (audit or rule.mode is Mode.ENFORCE):
                index._add(rule)
        return index

    def _add(self, rule: EffectiveRule) -> None:
        number = len(self._rules)
        self._rules.append(rule)
        for subject in _subject_names(rule.subject):
            self._subjects.add(subject)
            for space in _peer_spaces(rule):
                self._spaces.add(space)
                self._by_keys[subject, space].append(number)

    def overlapping(self, allow: EffectiveRule) -> tuple[EffectiveRule, ...]:
        """The Denies that may match a call that ``allow`` matches, in the order of their refs."""
        if not self._rules:
            return ()
        numbers: set[int] = set()
        for subject in self._either(_subject_names(allow.subject), self._subjects):
            for space in self._either(_peer_spaces(allow), self._spaces):
                numbers.update(self._by_keys.get((subject, space), ()))
        candidates = (self._rules[number] for number in sorted(numbers))
        return tuple(deny for deny in candidates if regions.overlap(allow, deny))

    @staticmethod
    def _either(own: Sequence[str], known: set[str]) -> Iterable[str]:
        return known if _ANY in own else {*own, _ANY}


def _finite(values: ValueSet) -> Sequence[str]:
    return (_ANY,) if values.complement or values.absent else tuple(values.values)


def _subject_names(subject: LabelBox) -> Sequence[str]:
    return _finite(subject.get(LABEL_IDENTITY))


def _peer_spaces(rule: EffectiveRule) -> Sequence[str]:
    spaces: set[str] = set()
    for peer in rule.peers:
        spaces.update(_finite(peer.namespaces.get(LABEL_NAMESPACE_NAME)) if isinstance(peer, PodPeers) else (_ANY,))
    return tuple(spaces)


def suspend(rules: Sequence[EffectiveRule], pod_cidrs: tuple[str, ...], notes: Notes) -> Iterator[EffectiveRule]:
    """The rules (sorted), each Allow marked that is held back; what a person must know of it goes to ``notes``."""
    with_audit = any(rule.mode is Mode.AUDIT and rule.action is Action.DENY for rule in rules)
    enforced = {direction: DenyIndex.of(rules, direction) for direction in Direction}
    all_of_them = {d: DenyIndex.of(rules, d, audit=True) for d in Direction} if with_audit else enforced
    for rule in rules:
        if rule.action is Action.DENY or rule.builtin:
            yield rule
            continue
        by = _held(rule, enforced[rule.direction], pod_cidrs, notes, would=rule.mode is Mode.AUDIT)
        in_audit = by
        if with_audit:
            in_audit = _held(rule, all_of_them[rule.direction], pod_cidrs, None if by else notes, would=True)
        yield replace(rule, suspended_by=by, suspended_in_audit=in_audit) if by or in_audit else rule


def _held(
    allow: EffectiveRule, denies: DenyIndex, pod_cidrs: tuple[str, ...], notes: Notes | None, *, would: bool
) -> RuleRef | None:
    """The Deny that holds ``allow`` back, None when what is left of it can be compiled."""
    overlapping = denies.overlapping(allow)
    if not overlapping:
        return None
    try:
        left = regions.remaining(allow, overlapping, pod_cidrs)
    except regions.Held as held:
        if notes is not None:
            _note_held(allow, held, notes, would=would)
        return held.by
    if not left and notes is not None and not would and not is_inside(allow.ref):
        names = "; ".join(str(deny.ref) for deny in overlapping[:3])
        notes.rule(
            allow.ref,
            FindingReason.RULE_NEVER_MATCHES,
            f"allows nothing, since all that it allows is denied by {names}; remove one or the other",
        )
    return None


def _note_held(allow: EffectiveRule, held: regions.Held, notes: Notes, *, would: bool) -> None:
    reason = FindingReason.WOULD_BE_SUSPENDED if would else FindingReason.RULE_SUSPENDED
    state = "would not be in force if what is in mode Audit were enforced" if would else "is not in force"
    advice = "write both with the same kind of peers and ports, or narrow one of them"
    if is_inside(allow.ref):
        message = (
            f"cannot be taken out of what pods may call inside ({held.why}): the default that lets pods without listed "
            f"egress call others {state}; list what they may call, or deny by identity or namespace"
        )
        notes.rule(held.by, reason, message)
        return
    notes.rule(allow.ref, reason, f"{state}: {held.by} overlaps it and cannot be taken out ({held.why}); {advice}")
