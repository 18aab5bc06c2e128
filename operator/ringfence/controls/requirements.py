"""Which Pod Security controls bind a pod, and who asked for each.

Floors and the namespace's own policies add up: a pod must satisfy each of them, at the version that it names, so that
nobody loosens what another asks by asking for more, or for another version. Enrolment itself asks for what keeps a
closed network closed, whatever the level. An exception loosens floors and enrolment only, since what a namespace asks
of itself it can mend itself.
"""

from functools import lru_cache
from typing import Final

from ringfence.controls import registry
from ringfence.controls.control import Check, Control, Found
from ringfence.controls.pod import Subject
from ringfence.model.effective import AdmissionRequirement, EffectivePolicy
from ringfence.model.resources import Kind, Mode, PodSecurityLevel
from ringfence.model.verdict import Violation

#: What one requirement asks: the level, its version, and the controls that an exception takes away.
Ask = tuple[PodSecurityLevel, int | None, frozenset[str]]

_NOTHING: Final[frozenset[str]] = frozenset()
#: Who asks where no policy does.
_ENROLMENT: Final = "the enrolment of the namespace"


def violations(subject: Subject, policy: EffectivePolicy, excepted: frozenset[str], mode: Mode) -> list[Violation]:
    """What the subject breaks of the requirements in this mode; each names the policy that asked.

    One field may be there several times, for several controls and requirements: ``once`` is what a person reads.
    """
    labels = subject.meta.labels or {}
    binding = [each for each in policy.admission if each.mode is mode and each.subject.matches(labels)]
    closed = _closed(excepted) if mode is Mode.ENFORCE else _NOTHING
    if not binding and not closed:
        return []
    asks = tuple([(each.level, each.version, _freed(each, excepted)) for each in binding])
    found = []
    for check, control, index in _plan(asks, closed):
        for each in check(subject):
            found.append(_violation(control, each, binding[index] if index >= 0 else None))  # noqa: PERF401 (faster)
    return found


def once(found: list[Violation]) -> list[Violation]:
    """Sorted; of what two requirements say of one field the first, and of two levels of one control the stricter.

    Of controls beyond Pod Security policies ask different things, so what each of them says stays.
    """
    if len(found) < 2:
        return found
    kept: dict[tuple[str, str, str], Violation] = {}
    for each in found:
        asked = "" if each.control in registry.KUBERNETES else f"{each.policy} {each.message}"
        kept.setdefault((each.control, each.field, asked), each)
    weaker = {(registry.WEAKER[each.control], each.field) for each in kept.values() if each.control in registry.WEAKER}
    return sorted(each for key, each in kept.items() if key[:2] not in weaker)


def _closed(excepted: frozenset[str]) -> frozenset[str]:
    return registry.CLOSED - excepted if excepted else registry.CLOSED


def _freed(requirement: AdmissionRequirement, excepted: frozenset[str]) -> frozenset[str]:
    return excepted if excepted and requirement.ref.kind == Kind.CLUSTER_SECURITY_POLICY else _NOTHING


@lru_cache(maxsize=1024)
def _plan(asks: tuple[Ask, ...], closed: frozenset[str]) -> tuple[tuple[Check, Control, int], ...]:
    """Each form of a control that anybody asks for, once, with the index of the first that does; -1 for the enrolment.

    A control stays beside the one that supersedes it when they come from different requirements, since the stricter
    one may leave pods alone (those for Windows) that the other binds.
    """
    askers: dict[Control, int] = {}
    for index, (level, version, excepted) in enumerate(asks):
        for control in registry.active(level, excepted, version):
            askers.setdefault(control, index)
    for control in registry.CONTROLS:
        if control.id in closed:
            askers.setdefault(control, -1)
    return tuple((control.check, control, index) for control, index in askers.items())


def _violation(control: Control, found: Found, asker: AdmissionRequirement | None) -> Violation:
    if asker is None:
        return Violation(control.id, found.field, found.message, found.fix, _ENROLMENT, "", control.reason)
    ref = asker.ref
    owner = f"{ref.namespace}/{ref.policy}" if ref.namespace else ref.policy
    return Violation(
        control.id, found.field, found.message, found.fix, f"{ref.kind} {owner}", _standard(asker), control.reason
    )


def _standard(asker: AdmissionRequirement) -> str:
    """As Kubernetes writes it in its labels and messages."""
    return f"{asker.level}:{'latest' if asker.version is None else f'v1.{asker.version}'}"
