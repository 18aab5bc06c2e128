"""Which Allows are held back, because a Deny overlaps them in a way that no NetworkPolicy can express."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from ringfence.model.effective import Direction, EffectiveRule, Finding, PodPeers, RuleRef
from ringfence.model.labels import ValueSet
from ringfence.model.names import LABEL_IDENTITY, LABEL_NAMESPACE_NAME
from ringfence.model.resources import Action, Mode
from ringfence.policy import regions
from ringfence.policy.builtins import is_inside
from ringfence.policy.kept import Kept
from ringfence.policy.notes import Notes
from ringfence.policy.reasons import FindingReason
from ringfence.policy.rules import Block

#: Work on one namespace: pairs of regions looked at, a few microseconds each, and taken apart (_STEP times as much).
MAX_WORK: Final = 500_000
_STEP: Final = 20

#: Rules and Denies that were judged and are kept.
MAX_KEPT: Final = 400_000

#: Stands for "any" in the index; no identity and no namespace has this name.
_ANY = "*"


class _Near:
    """The Denies of a namespace by the identities that they govern.

    Most policies govern a few identities; looking Denies up by these keeps the work proportional to what may overlap.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        """``blocks`` are in the order of their rules' refs."""
        self._blocks = [block.denies for block in blocks if block.denies]
        self._by_subject: dict[str, set[int]] = defaultdict(set)
        for number, denies in enumerate(self._blocks):
            for subject in _subjects(denies):
                self._by_subject[subject].add(number)

    def to(self, rules: Sequence[EffectiveRule]) -> tuple[EffectiveRule, ...]:
        """The Denies that may govern pods that ``rules`` govern, sorted."""
        if not self._blocks:
            return ()
        numbers = _named(self._by_subject, _subjects(rules), len(self._blocks))
        return tuple(deny for number in sorted(numbers) for deny in self._blocks[number])


def _subjects(rules: Sequence[EffectiveRule]) -> set[str]:
    """The identities that rules of one policy, whose pods are the same, govern."""
    return set(_finite(rules[0].subject.get(LABEL_IDENTITY)))


class _Index:
    """Denies of one direction by the namespaces of their peers."""

    def __init__(self, denies: Iterable[EffectiveRule], direction: Direction, *, audit: bool) -> None:
        """Those in mode Audit only with ``audit``."""
        self._rules = [deny for deny in denies if deny.direction is direction and (audit or deny.mode is Mode.ENFORCE)]
        self._by_space: dict[str, set[int]] = defaultdict(set)
        for number, rule in enumerate(self._rules):
            for space in _spaces(rule):
                self._by_space[space].add(number)

    def candidates(self, allow: EffectiveRule) -> tuple[EffectiveRule, ...]:
        """The Denies that may overlap ``allow`` as far as the index can tell, in their order."""
        numbers = _named(self._by_space, _spaces(allow), len(self._rules))
        return tuple(self._rules[number] for number in sorted(numbers))


def _named(index: Mapping[str, set[int]], own: Iterable[str], count: int) -> Iterable[int]:
    """Those of ``count`` things that are indexed by one of ``own``, or by any."""
    if _ANY in own:
        return range(count)
    return index.get(_ANY, set()).union(*(index.get(name, ()) for name in own))


def _finite(values: ValueSet) -> Sequence[str]:
    return (_ANY,) if values.complement or values.absent else tuple(values.values)


@lru_cache(maxsize=32768)
def _spaces(rule: EffectiveRule) -> frozenset[str]:
    """The namespaces of a rule's peers, as far as it names them."""
    spaces: set[str] = set()
    for peer in rule.peers:
        spaces.update(_finite(peer.namespaces.get(LABEL_NAMESPACE_NAME)) if isinstance(peer, PodPeers) else (_ANY,))
    return frozenset(spaces)


@dataclass(slots=True)
class _Judge:
    """Takes Denies out of the Allows of a block, one after the other, with a bound on the work for all of them.

    Beyond it every further Allow that Denies may overlap is held back: whoever may write policies in one namespace
    must not be able to keep the compiler from the others.
    """

    denies: Sequence[EffectiveRule]
    pod_cidrs: tuple[str, ...]
    audit: bool
    work: int
    indexes: dict[Direction, _Index] = field(init=False)

    def __post_init__(self) -> None:
        self.indexes = {each: _Index(self.denies, each, audit=self.audit) for each in Direction}

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


@dataclass(frozen=True, slots=True)
class _Budget:
    """The work that may still be done for a namespace: on what is in force, and on what would be with mode Audit."""

    enforced: int
    audited: int

    @property
    def spent(self) -> bool:
        return self.enforced < 0 or self.audited < 0

    def __sub__(self, other: "_Budget") -> "_Budget":
        return _Budget(self.enforced - other.enforced, self.audited - other.audited)


@dataclass(frozen=True, slots=True)
class _Case:
    """All that the marks of a block depend on: its rules (sorted), the Denies that may overlap them, and the rest."""

    rules: tuple[EffectiveRule, ...]
    denies: tuple[EffectiveRule, ...]
    pod_cidrs: tuple[str, ...]
    with_audit: bool
    budget: _Budget


@dataclass(frozen=True, slots=True)
class _Judged:
    """Rules with their marks, what a person must know of them, and the work that it was."""

    rules: tuple[EffectiveRule, ...]
    findings: tuple[Finding, ...]
    work: _Budget


def suspend(blocks: Sequence[Block], pod_cidrs: tuple[str, ...], notes: Notes) -> Iterator[EffectiveRule]:
    """The rules of ``blocks`` (in their order), each Allow marked that Denies overlap, and by which it is held back.

    What a person must know of it goes to ``notes``. A rule in mode Audit is held only as far as audit goes.
    """
    near = _Near(blocks)
    with_audit = any(block.rules[0].mode is Mode.AUDIT for block in blocks)
    whole = left = _Budget(MAX_WORK, MAX_WORK)
    for block in blocks:
        denies = near.to(block.rules)
        if not denies:
            yield from block.rules
            continue
        case = _Case(block.rules, denies, pod_cidrs, with_audit, whole)
        judged = None if left.spent else _JUDGED(case)
        if judged is None or (left - judged.work).spent:
            # What is kept was judged as if it were the first: with less left, more may be held back.
            judged = _judged(replace(case, budget=left))
        left -= judged.work
        notes.include(judged.findings)
        yield from judged.rules


def _judged(case: _Case) -> _Judged:
    notes = Notes()
    enforced = _Judge(case.denies, case.pod_cidrs, audit=False, work=case.budget.enforced)
    audited = None
    if case.with_audit:
        audited = _Judge(case.denies, case.pod_cidrs, audit=True, work=case.budget.audited)
    marked = tuple(_judge(rule, enforced, audited, notes) for rule in case.rules)
    left = _Budget(enforced.work, audited.work if audited is not None else case.budget.audited)
    return _Judged(marked, notes.sorted(), case.budget - left)


_JUDGED: Final = Kept(_judged, weigh=lambda case, _: len(case.rules) + len(case.denies), most=MAX_KEPT)


def _judge(rule: EffectiveRule, enforced: _Judge, audited: _Judge | None, notes: Notes) -> EffectiveRule:
    if rule.action is Action.DENY or rule.builtin:
        return rule
    denies: tuple[EffectiveRule, ...] = ()
    by = in_audit = None
    if rule.mode is Mode.ENFORCE:
        denies, left = enforced.judge(rule)
        by = in_audit = _held(rule, denies, left, notes, would=False)
    if audited is not None:
        tried, left = audited.judge(rule)
        in_audit = _held(rule, tried, left, None if by else notes, would=True)
    return _marked(rule, denies, by, in_audit) if denies or by or in_audit else rule


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
    if not rule.denied_by:
        return regions.regions_of(rule)
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
