"""Which exception frees a pod: one that covers everything that the pod breaks, or none.

Two exceptions were signed for by themselves. A pod that mounts its node under the one and runs as root under the other
is what neither of them allows, so they never add up: not at creation, and not over time by an update to a pod that
came in under another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ringfence.controls import expiry
from ringfence.model.effective import EffectivePolicy
from ringfence.model.resources import Kind, PodSecurityException
from ringfence.model.verdict import Violation

#: What a pod breaks when it need not satisfy these controls of the floors.
Judge = Callable[[frozenset[str]], list[Violation]]

NONE: Final[frozenset[str]] = frozenset()
_OWN: Final = f"{Kind.SECURITY_POLICY.value} "


@dataclass(frozen=True, slots=True)
class Freed:
    """What is left to refuse, and the exception that was used; without one, ``left`` is all that the pod breaks."""

    left: list[Violation]
    used: PodSecurityException | None = None


def for_identity(policy: EffectivePolicy, identity: str, now: float) -> tuple[PodSecurityException, ...]:
    """The exceptions in force for pods of a ServiceIdentity, the narrowest first; ``now`` in seconds since the epoch.

    Each counts as it was written: the namespace of one and the controls of another never combine.
    """
    if not policy.exceptions or not identity:
        return ()
    found = [
        each
        for each in policy.exceptions
        if each.namespace == policy.namespace and identity in each.identities and expiry.in_force(each, now)
    ]
    return tuple(sorted(found, key=_width))


def _width(each: PodSecurityException) -> tuple[int, str, str, tuple[str, ...], tuple[str, ...]]:
    return len(each.controls), each.policy, each.name, each.controls, each.identities


def freed(wrong: list[Violation], judge: Judge, candidates: Sequence[PodSecurityException]) -> Freed:
    """Free a pod that breaks ``wrong`` of all of it by one of the candidates, or of none."""
    if not wrong or not candidates:
        return Freed(wrong)
    best, left = None, wrong
    for each in candidates:
        rest = judge(frozenset(each.controls))
        if not rest:
            return Freed([], each)
        if len(rest) < len(left):
            best, left = each, rest
    return Freed([_noted(each, candidates, best) for each in left])


def freed_change(brought: list[Violation], judge: Judge, candidates: Sequence[PodSecurityException]) -> Freed:
    """The same for a change: only what it brings is refused, but an exception must cover the whole pod as it then is.

    Otherwise a pod could come in under one exception and go on under another.
    """
    if not brought or not candidates:
        return Freed(brought)
    for each in candidates:
        if not judge(frozenset(each.controls)):
            return Freed([], each)
    return Freed([_noted(each, candidates, None) for each in brought])


def _noted(
    violation: Violation, candidates: Sequence[PodSecurityException], best: PodSecurityException | None
) -> Violation:
    """Say so where an exception names the control and yet does not help."""
    if violation.policy.startswith(_OWN):
        return violation
    for each in candidates:
        if each is not best and violation.control in each.controls:
            note = f"exception {each.policy}/{each.name} does not cover all that the pod breaks, and two never combine"
            return replace(violation, fix=f"{violation.fix} ({note})")
    return violation
