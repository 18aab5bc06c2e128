"""What the policies ask of a pod beyond Pod Security, and who asked for each.

Every policy's demands hold: floors and the namespace's own add up, so of two lists of registries both must have the
image's, and a switch that one policy turns on no other turns off. What several ask for alike is looked at once and
laid to the first that asked. An exception loosens floors only, as it does for Pod Security.
"""

from collections.abc import Iterator
from functools import lru_cache

from ringfence.controls import registry
from ringfence.controls.control import Check
from ringfence.controls.pod import Subject
from ringfence.controls.sessions import Session
from ringfence.model.demands import SESSION_CONTROLS, ControlId, Setting
from ringfence.model.effective import ControlDemand, EffectivePolicy
from ringfence.model.resources import Kind, Mode
from ringfence.model.verdict import Violation

#: A control, its check, and the policy that asked for it first.
Planned = tuple[ControlId, Check, str]


def violations(subject: Subject, policy: EffectivePolicy, excepted: frozenset[str], mode: Mode) -> list[Violation]:
    """What the subject breaks of the demands in this mode, sorted; nobody is told the same twice."""
    asking = _asking(subject, policy, mode)
    if not asking:
        return []
    found: dict[tuple[str, str, str], Violation] = {}
    for control, check, asker in _plan(asking, excepted):
        for each in check(subject):
            key = control, each.field, each.message
            if key not in found:
                found[key] = Violation(control, each.field, each.message, each.fix, asker)
    return sorted(found.values())


def of_session(
    session: Session, subject: Subject, policy: EffectivePolicy, excepted: frozenset[str], mode: Mode
) -> list[Violation]:
    """The refusal of a session into the pod, if a demand in this mode closes it."""
    for demand in _asking(subject, policy, mode):
        if any(setting.control == session.control for setting in _left(demand, excepted)):
            found = session.found
            return [Violation(session.control, found.field, found.message, found.fix, demand.ref.owner)]
    return []


def closes(session: Session, policy: EffectivePolicy) -> bool:
    """Whether any demand may close such sessions, into whatever pod and in whatever mode."""
    return any(setting.control == session.control for demand in policy.demands for setting in demand.settings)


def _asking(subject: Subject, policy: EffectivePolicy, mode: Mode) -> tuple[ControlDemand, ...]:
    if not policy.demands:
        return ()
    labels = subject.meta.labels or {}
    return tuple([each for each in policy.demands if each.mode is mode and each.subject.matches(labels)])


@lru_cache(maxsize=1024)
def _plan(asking: tuple[ControlDemand, ...], excepted: frozenset[str]) -> tuple[Planned, ...]:
    """Each setting that anybody asks for, once, with its first asker; what a stricter control covers is left out."""
    askers: dict[Setting, str] = {}
    for demand in asking:
        for setting in _left(demand, excepted):
            askers.setdefault(setting, demand.ref.owner)
    by_id = registry.POLICY_CONTROLS
    superseded = {by_id[each.control].supersedes for each in askers if each.control in by_id}
    return tuple(
        (setting.control, _prepared(setting), asker)
        for setting, asker in askers.items()
        if setting.control not in superseded and setting.control not in SESSION_CONTROLS
    )


def _left(demand: ControlDemand, excepted: frozenset[str]) -> Iterator[Setting]:
    """The settings of a demand less those that an exception takes away."""
    floor = demand.ref.kind == Kind.CLUSTER_SECURITY_POLICY
    return (each for each in demand.settings if not (floor and each.control in excepted))


@lru_cache(maxsize=1024)
def _prepared(setting: Setting) -> Check:
    return registry.POLICY_CONTROLS[setting.control].prepare(setting.values)
