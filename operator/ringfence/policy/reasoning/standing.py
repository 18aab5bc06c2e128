"""How each rule of a policy stands among all others: what it names, and what of it has no effect and why."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ringfence.model.effective import Direction, EffectiveRule, RuleRef
from ringfence.model.resources import Action
from ringfence.policy.algebra.diagram import NOTHING, Diagram, Dimension, intersect, split, subtract, union
from ringfence.policy.algebra.ports import Names
from ringfence.policy.algebra.values import Members
from ringfence.policy.builtins import is_inside
from ringfence.policy.reasoning.leaving import Leaving, at
from ringfence.policy.reasoning.side import Side, requests_of, union_of


class Remark(StrEnum):
    """What a person should know of a rule. Codes are stable."""

    #: It names nobody, or governs nobody.
    IMPOSSIBLE = "Impossible"
    #: A Deny overlaps it in a way that cannot be expressed: the whole Allow is held back.
    SUSPENDED = "Suspended"
    #: All that it allows is denied.
    CONTRADICTORY = "Contradictory"
    #: Some of what it allows is denied.
    PARTLY_DENIED = "PartlyDenied"
    #: Others allow all that it allows, or deny all that it denies.
    REDUNDANT = "Redundant"
    #: What it allows is refused at the other end of every call.
    REFUSED_ELSEWHERE = "RefusedElsewhere"
    #: A Deny that takes nothing from any rule that is there now.
    GUARD = "Guard"


@dataclass(frozen=True, slots=True)
class Note:
    """A remark, and the rules that it comes from."""

    remark: Remark
    by: tuple[RuleRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule with whom it governs and names (bits of kinds); ``rules`` are it in each namespace where it holds."""

    ref: RuleRef
    direction: Direction
    action: Action
    rules: tuple[EffectiveRule, ...]
    governed: Members
    others: Members
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _Reach:
    """One rule where it holds: the calls that it names, at the pods that it governs."""

    rule: EffectiveRule
    calls: Diagram


def standings(side: Side, rules: Iterable[EffectiveRule]) -> tuple[Standing, ...]:
    """How rules of one policy stand, in the order given; the same rule in several namespaces once."""
    by_place: dict[tuple[RuleRef, Direction], list[EffectiveRule]] = {}
    for rule in rules:
        by_place.setdefault((rule.ref, rule.direction), []).append(rule)
    judge = _Judge(side, Leaving(side))
    return tuple(judge.standing(ref, direction, tuple(found)) for (ref, direction), found in by_place.items())


@dataclass(frozen=True)
class _Judge:
    """Compares a rule with all others that govern the same pods."""

    side: Side
    leaving: Leaving

    def standing(self, ref: RuleRef, direction: Direction, rules: tuple[EffectiveRule, ...]) -> Standing:
        """One rule among the others."""
        governed = [number for number in self._pods(direction) if self._bits(number, direction, ref) is not None]
        others = 0
        for number in governed:
            others |= self._bits(number, direction, ref) or 0
        action = rules[0].action
        notes = tuple(self._notes(ref, direction, rules, governed)) if others else (Note(Remark.IMPOSSIBLE),)
        return Standing(ref, direction, action, rules, Members.of(governed), Members(others), notes)

    def _pods(self, direction: Direction) -> Iterator[int]:
        for number in range(self.side.kinds.first_address):
            if self.side.stated(number, direction):
                yield number

    def _bits(self, number: int, direction: Direction, ref: RuleRef) -> int | None:
        """Whom the rule names for pods of a kind; None where it does not govern them."""
        stated = self.side.stated(number, direction) or ()
        found = [bits for rule, bits in stated if rule.ref == ref]
        return union_of(found) if found else None

    # --- remarks -----------------------------------------------------------------------------------------------------

    def _notes(
        self, ref: RuleRef, direction: Direction, rules: tuple[EffectiveRule, ...], governed: list[int]
    ) -> Iterator[Note]:
        reaches = self._reaches(direction, governed)
        own = union(each.calls for each in reaches if each.rule.ref == ref)
        rest = [each for each in reaches if each.rule.ref != ref and not each.rule.builtin]
        denies = [each for each in rest if each.rule.action is Action.DENY]
        if rules[0].action is Action.DENY:
            yield from self._notes_of_deny(ref, own, denies, [each for each in rest if each not in denies])
            return
        allows = [each for each in rest if self.side.allows(each.rule)]
        held = sorted({by for rule in rules if (by := self._held(rule)) is not None})
        if held:
            # A floor may be held back in one namespace and in force in another.
            everywhere = all(self._held(rule) is not None for rule in rules)
            yield Note(Remark.SUSPENDED if everywhere else Remark.PARTLY_DENIED, tuple(held))
            return
        left = subtract(own, union(each.calls for each in denies))
        if left is NOTHING:
            yield Note(Remark.CONTRADICTORY, _meeting(own, denies))
            return
        if left != own:
            yield Note(Remark.PARTLY_DENIED, _meeting(own, denies))
        if subtract(left, union(each.calls for each in allows)) is NOTHING:
            yield Note(Remark.REDUNDANT, _meeting(left, allows))
        if intersect(left, self._other_ends(direction, left)) is NOTHING:
            yield Note(Remark.REFUSED_ELSEWHERE)

    def _notes_of_deny(self, ref: RuleRef, own: Diagram, denies: list[_Reach], allows: list[_Reach]) -> Iterator[Note]:
        if any(self._held(each.rule) == ref for each in allows):
            # It holds an Allow back, be it by the name of a port that no pod has now.
            return
        met = [each for each in allows if intersect(own, each.calls) is not NOTHING]
        if not met:
            yield Note(Remark.GUARD)
        elif subtract(own, union(each.calls for each in denies)) is NOTHING and not any(map(self._suspended, met)):
            # Of an Allow that is held back nobody knows what this Deny has to do with it.
            yield Note(Remark.REDUNDANT, _meeting(own, denies))

    def _suspended(self, reach: _Reach) -> bool:
        return self._held(reach.rule) is not None

    def _held(self, rule: EffectiveRule) -> RuleRef | None:
        return rule.suspended_in_audit if self.side.audit else rule.suspended_by

    # --- calls -------------------------------------------------------------------------------------------------------

    def _axes(self, direction: Direction) -> tuple[Dimension, Dimension]:
        """The dimension of who is governed, and that of the other ends."""
        axes = self.side.axes
        return (axes.target, axes.source) if direction is Direction.INGRESS else (axes.source, axes.target)

    def _reaches(self, direction: Direction, governed: list[int]) -> list[_Reach]:
        """Every rule that governs any of these pods, with the calls that it names there."""
        rows: dict[RuleRef, list[Diagram]] = {}
        rules: dict[RuleRef, EffectiveRule] = {}
        for number in governed:
            for rule, bits in self.side.stated(number, direction) or ():
                rules.setdefault(rule.ref, rule)
                rows.setdefault(rule.ref, []).extend(self._calls(direction, number, rule, bits))
        return [_Reach(rules[ref], union(found)) for ref, found in rows.items()]

    def _calls(self, direction: Direction, number: int, rule: EffectiveRule, bits: int) -> Iterator[Diagram]:
        for names, there in self._by_names(direction, number, rule, bits):
            parts = dict(zip(self._axes(direction), (Members(1 << number), Members(there)), strict=True))
            source = split(self.side.axes.source, [(parts[self.side.axes.source], requests_of(rule, names))])
            yield split(self.side.axes.target, [(parts[self.side.axes.target], source)])

    def _by_names(
        self, direction: Direction, number: int, rule: EffectiveRule, bits: int
    ) -> Iterator[tuple[Names, int]]:
        """The targets by the names of their ports, where these matter."""
        kinds = self.side.kinds.all
        if direction is Direction.INGRESS or not rule.ports.names:
            yield kinds[number].names, bits
            return
        found: dict[Names, int] = {}
        for other in Members(bits):
            found[kinds[other].names] = found.get(kinds[other].names, 0) | 1 << other
        yield from found.items()

    def _other_ends(self, direction: Direction, calls: Diagram) -> Diagram:
        """What the other ends of ``calls`` let pass."""
        axes = self.side.axes
        rows = []
        for targets, rest in at(calls, axes.target):
            sources = 0
            for found, _ in at(rest, axes.source):
                sources |= found.bits
            for target in targets:
                if direction is Direction.INGRESS:
                    passed = self.leaving.calls(target, sources, self.side.kinds.all[target].names)
                else:
                    passed = self.side.let_in(target)
                rows.append((Members(1 << target), passed))
        return split(axes.target, rows)


def _meeting(calls: Diagram, others: Iterable[_Reach]) -> tuple[RuleRef, ...]:
    """The rules that have a call in common with ``calls``; the default for calls inside has no name."""
    met = (each.rule.ref for each in others if intersect(calls, each.calls) is not NOTHING)
    return tuple(sorted(ref for ref in met if not is_inside(ref)))
