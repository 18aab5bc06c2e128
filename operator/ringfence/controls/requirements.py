"""Which Pod Security controls bind a pod, and who asked for each.

Floors and the namespace's own policies add up: the strictest holds. An exception loosens floors only, since what a
namespace asks of itself it can mend itself.
"""

from functools import lru_cache
from typing import Final

from ringfence.controls import registry
from ringfence.controls.control import Control, Found
from ringfence.controls.pod import Subject
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy, RuleRef
from ringfence.model.resources import Kind, Mode, PodSecurityLevel
from ringfence.model.verdict import Violation

#: What one requirement asks: the level, and the controls that an exception takes away.
Ask = tuple[PodSecurityLevel, frozenset[str]]

_NOTHING: Final[frozenset[str]] = frozenset()


def violations(subject: Subject, policy: EffectivePolicy, excepted: frozenset[str], mode: Mode) -> list[Violation]:
    """What the subject breaks of the requirements in this mode, sorted; each names the policy that asked."""
    labels = subject.meta.labels or {}
    binding = [each for each in policy.admission if each.mode is mode and each.subject.matches(labels)]
    if not binding:
        return []
    asks = tuple([(each.level, _freed(each, excepted)) for each in binding])
    found = []
    for control, index in _plan(asks):
        for each in control.check(subject):
            found.append(_violation(control, each, binding[index].ref))  # noqa: PERF401 (the plain loop is faster)
    return sorted(found) if len(found) > 1 else found


def _freed(requirement: AdmissionRequirement, excepted: frozenset[str]) -> frozenset[str]:
    return excepted if excepted and requirement.ref.kind == Kind.CLUSTER_SECURITY_POLICY else _NOTHING


@lru_cache(maxsize=1024)
def _plan(asks: tuple[Ask, ...]) -> tuple[tuple[Control, int], ...]:
    """Each control that any of the requirements asks for, once, with the index of the first that does."""
    askers: dict[str, int] = {}
    for index, (level, excepted) in enumerate(asks):
        for control in registry.active(level, excepted):
            askers.setdefault(control.id, index)
    chosen = [control for control in registry.CONTROLS if control.id in askers]
    superseded = {control.supersedes for control in chosen}
    return tuple((control, askers[control.id]) for control in chosen if control.id not in superseded)


def _violation(control: Control, found: Found, ref: RuleRef) -> Violation:
    owner = f"{ref.namespace}/{ref.policy}" if ref.namespace else ref.policy
    return Violation(control.id, found.field, found.message, found.fix, f"{ref.kind} {owner}")
