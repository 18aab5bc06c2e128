"""Which Pod Security controls bind a pod, and who asked for each.

Floors and the namespace's own policies add up: the strictest holds. Enrolment itself asks for what keeps a closed
network closed, whatever the level. An exception loosens floors and enrolment only, since what a namespace asks of
itself it can mend itself.
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
#: Who asks where no policy does.
_ENROLMENT: Final = "the enrolment of the namespace"


def violations(subject: Subject, policy: EffectivePolicy, excepted: frozenset[str], mode: Mode) -> list[Violation]:
    """What the subject breaks of the requirements in this mode, sorted; each names the policy that asked."""
    labels = subject.meta.labels or {}
    binding = [each for each in policy.admission if each.mode is mode and each.subject.matches(labels)]
    asks = tuple([(each.level, _freed(each, excepted)) for each in binding])
    closed = registry.CLOSED - excepted if mode is Mode.ENFORCE else _NOTHING
    found = []
    for control, index in _plan(asks, closed):
        for each in control.check(subject):
            found.append(_violation(control, each, binding[index].ref if index >= 0 else None))  # noqa: PERF401 (faster)
    return sorted(found) if len(found) > 1 else found


def _freed(requirement: AdmissionRequirement, excepted: frozenset[str]) -> frozenset[str]:
    return excepted if excepted and requirement.ref.kind == Kind.CLUSTER_SECURITY_POLICY else _NOTHING


@lru_cache(maxsize=1024)
def _plan(asks: tuple[Ask, ...], closed: frozenset[str]) -> tuple[tuple[Control, int], ...]:
    """Each control that anybody asks for, once, with the index of the first that does; -1 for the enrolment."""
    askers: dict[str, int] = {}
    for index, (level, excepted) in enumerate(asks):
        for control in registry.active(level, excepted):
            askers.setdefault(control.id, index)
    for identifier in closed:
        askers.setdefault(identifier, -1)
    chosen = [control for control in registry.CONTROLS if control.id in askers]
    superseded = {control.supersedes for control in chosen}
    return tuple((control, askers[control.id]) for control in chosen if control.id not in superseded)


def _violation(control: Control, found: Found, ref: RuleRef | None) -> Violation:
    if ref is None:
        return Violation(control.id, found.field, found.message, found.fix, _ENROLMENT)
    owner = f"{ref.namespace}/{ref.policy}" if ref.namespace else ref.policy
    return Violation(control.id, found.field, found.message, found.fix, f"{ref.kind} {owner}")
