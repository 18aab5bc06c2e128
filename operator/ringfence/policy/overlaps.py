"""Which Allows are held back, because a Deny overlaps them in a way that no NetworkPolicy can express."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from ringfence.model.effective import Direction, EffectiveRule, PodPeers, RuleRef
from ringfence.model.labels import ValueSet
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.resources import Action, Mode
from ringfence.policy import regions
from ringfence.policy.builtins import is_inside
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason

#: Work on one namespace: pairs of regions looked at, a few microseconds each, and taken apart (_STEP times as much).
MAX_WORK: Final = 500_000
_STEP: Final = 20

#: Stands for "any" in the index; no identity and no namespace has this name.
_ANY = "*"


@dataclass(slots=True)
class DenyIndex:
    """The Denies of one direction by the identities that they govern and the namespaces of their peers.

    Most policies govern a few identities and name peers in a few namespaces; looking Denies up by these keeps the
    work proportional to what really overlaps.
    """

    _rules: list[EffectiveRule] = field(default_factory=list)
    _by_subject: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    _by_space: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

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
        subjects, spaces = _keys(rule)
        for subject in subjects:
            self._by_subject[subject].add(number)
        for space in spaces:
            self._by_space[space].add(number)

    def candidates(self, allow: EffectiveRule) -> tuple[EffectiveRule, ...]:
        """The Denies that may overlap ``allow`` as far as the index can tell, in the order of their refs."""
        if not self._rules:
            return ()
        subjects, spaces = _keys(allow)
        numbers = self._named(self._by_subject, subjects) & self._named(self._by_space, spaces)
        return tuple(self._rules[number] for number in sorted(numbers))

    def _named(self, index: dict[str, set[int]], own: Sequence[str]) -> set[int]:
        """The rules that name one of ``own``, or any."""
        if _ANY in own:
            return set(range(len(self._rules)))
        return index.get(_ANY, set()).union(*(index.get(name, ()) for name in own))


def _finite(values: ValueSet) -> Sequence[str]:
    return (_ANY,) if values.complement or values.absent else tuple(values.values)


@lru_cache(maxsize=32768)
def _keys(rule: EffectiveRule) -> tuple[Sequence[str], Sequence[str]]:
    """The identities that a rule governs and the namespaces of its peers, as far as it names them."""
    spaces: set[str] = set()
    for peer in rule.peers:
        spaces.update(_finite(peer.namespaces.get(LABEL_NAMESPACE_NAME)) if isinstance(peer, PodPeers) else (_ANY,))
    return _finite(rule.subject.get(LABEL_IDENTITY)), tuple(spaces)


@dataclass(slots=True)
class _Judge:
    """Takes Denies out of the Allows of a namespace, one after the other, with a bound on the work for all of them.

    Beyond it every further Allow that Denies may overlap is held back: whoever may write policies in one namespace
    must not be able to keep the compiler from the others.
    """

    rules: Sequence[EffectiveRule]
    pod_cidrs: tuple[str, ...]
    audit: bool
    work: int = field(default_factory=lambda: MAX_WORK)
    indexes: dict[Direction, DenyIndex] = field(init=False)

    def __post_init__(self) -> None:
        self.indexes = {each: DenyIndex.of(self.rules, each, audit=self.audit) for each in Direction}

    def judge(self, allow: EffectiveRule) -> tuple[tuple[EffectiveRule, ...], regions.Left | None]:
        """The Denies that overlap ``allow`` and what they leave of it; None when none does."""
        candidates = self.indexes[allow.direction].candidates(allow)
        if not candidates:
            return (), None
        self.work -= len(regions.regions_of(allow)) * sum(len(regions.regions_of(deny)) for deny in candidates)
        if self.work < 0:
            return (), _exhausted(candidates[0])
        denies = regions.overlapping(allow, candidates)
        if not denies:
            return (), None
        left = regions.remaining(allow, denies, self.pod_cidrs)
        self.work -= left.steps * _STEP
        return denies, left if self.work >= 0 else _exhausted(denies[0])


def _exhausted(by: EffectiveRule) -> regions.Left:
    why = "the policies that apply in the namespace overlap in too many ways to take them apart"
    return regions.Left((), 0, by.ref, why)


def suspend(rules: Sequence[EffectiveRule], pod_cidrs: tuple[str, ...], notes: Notes) -> Iterator[EffectiveRule]:
    """The rules (sorted), each Allow marked that Denies overlap, and by which it is held back.

    What a person must know of it goes to ``notes``. A rule in mode Audit is held only as far as audit goes.
    """
    enforced = _Judge(rules, pod_cidrs, audit=False)
    with_audit = any(rule.mode is Mode.AUDIT for rule in rules)
    audited = _Judge(rules, pod_cidrs, audit=True) if with_audit else None
    for rule in rules:
        if rule.action is Action.DENY or rule.builtin:
            yield rule
            continue
        denies: tuple[EffectiveRule, ...] = ()
        by = in_audit = None
        if rule.mode is Mode.ENFORCE:
            denies, left = enforced.judge(rule)
            by = in_audit = _held(rule, denies, left, notes, would=False)
        if audited is not None:
            tried, left = audited.judge(rule)
            in_audit = _held(rule, tried, left, None if by else notes, would=True)
        yield _marked(rule, denies, by, in_audit) if denies or by or in_audit else rule


@lru_cache(maxsize=32768)
def _marked(
    rule: EffectiveRule, denies: tuple[EffectiveRule, ...], by: RuleRef | None, in_audit: RuleRef | None
) -> EffectiveRule:
    denied_by = tuple(deny.ref for deny in denies)
    return replace(rule, denied_by=denied_by, suspended_by=by, suspended_in_audit=in_audit)


def left_of(
    rule: EffectiveRule, denies: Mapping[RuleRef, EffectiveRule], pod_cidrs: tuple[str, ...]
) -> tuple[regions.Region, ...]:
    """What the enforced Denies leave of a marked Allow; ``denies`` are those of its direction by their refs."""
    plain = replace(rule, denied_by=(), suspended_by=None, suspended_in_audit=None)
    return regions.remaining(plain, tuple(denies[ref] for ref in rule.denied_by), pod_cidrs).regions


def _held(
    allow: EffectiveRule,
    denies: tuple[EffectiveRule, ...],
    left: regions.Left | None,
    notes: Notes | None,
    *,
    would: bool,
) -> RuleRef | None:
    """The Deny that holds ``allow`` back, None when what is left of it can be compiled."""
    if left is None:
        return None
    if notes is None:
        return left.held_by
    if left.held_by is not None:
        _note_held(allow, left.held_by, left.why, notes, would=would)
    elif not left.regions and not would and not is_inside(allow.ref):
        names = "; ".join(str(deny.ref) for deny in denies[:3])
        notes.rule(
            allow.ref,
            FindingReason.RULE_NEVER_MATCHES,
            f"allows nothing, since all that it allows is denied by {names}; remove one or the other",
        )
    return left.held_by


def _note_held(allow: EffectiveRule, by: RuleRef, why: str, notes: Notes, *, would: bool) -> None:
    reason = FindingReason.WOULD_BE_SUSPENDED if would else FindingReason.RULE_SUSPENDED
    state = "would not be in force if what is in mode Audit were enforced" if would else "is not in force"
    advice = "write both with the same kind of peers and ports, or narrow one of them"
    if is_inside(allow.ref):
        message = (
            f"cannot be taken out of what pods may call inside ({why}): the default that lets pods without listed "
            f"egress call others {state}; list what they may call, or deny by identity or namespace"
        )
        notes.rule(by, reason, message)
        return
    notes.rule(allow.ref, reason, f"{state}: {by} overlaps it and cannot be taken out ({why}); {advice}")
