"""Where sessions into running pods are closed, so that the API server asks about them there and nowhere else.

A webhook that fails closed holds everybody up while it is away. Where no policy closes sessions there is nothing to
ask, and nobody is kept from a shell in a pod by an outage.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ringfence.model import labels
from ringfence.model.demands import SESSION_CONTROLS, Setting
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_ENROLL, LABEL_NAMESPACE_NAME
from ringfence.model.resources import Mode, SecurityPolicy
from ringfence.model.world import Enrolment, Namespace, World
from ringfence.translate.exempt import exempt_namespaces

#: Names in one selector, and selectors altogether; beyond either, every namespace of that enrolment is selected.
MOST_NAMES: Final = 1000
MOST_SELECTORS: Final = 16

_EITHER: Final = (Enrolment.AUDIT.value, Enrolment.ENFORCE.value)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Namespaces by their labels, in disjoint or overlapping sets, sorted.

    ``closed`` are those where a policy refuses sessions, ``reported`` those where one only reports them.
    """

    closed: tuple[LabelBox, ...] = ()
    reported: tuple[LabelBox, ...] = ()


NOWHERE: Final = Sessions()


def closes(settings: Iterable[Setting]) -> bool:
    """Whether any of these closes a kind of session."""
    return any(each.control in SESSION_CONTROLS for each in settings)


def own(namespace: Namespace, policies: Iterable[SecurityPolicy], *, undecided: bool = False) -> Mode | None:
    """What a namespace's own policies make of sessions: refused, reported, or (None) nothing.

    ``undecided``: something that may govern it was never understood, so it may refuse them.
    """
    if namespace.enrolment is Enrolment.NONE:
        return None
    modes = {each.spec.mode for each in policies if closes(each.spec.admission.controls)}
    if namespace.enrolment is Enrolment.ENFORCE and (Mode.ENFORCE in modes or undecided):
        return Mode.ENFORCE
    return Mode.AUDIT if modes else None


def where(world: World, named: Mapping[str, Mode]) -> Sessions:
    """Where the API server has to ask; ``named`` says of namespaces what ``own`` says.

    Floors select namespaces by labels, so that one made a moment ago is under them at once.
    """
    exempt = LabelBox.of({LABEL_NAMESPACE_NAME: labels.none_of(*exempt_namespaces(world.installation))})
    closed, reported = _floors(world, exempt)
    for name, mode in named.items():
        namespace = world.namespaces[name]
        if exempt.matches(namespace.labels):
            (closed if mode is Mode.ENFORCE else reported).name(namespace)
    return Sessions(closed.boxes(), reported.boxes())


class _Union:
    """Namespaces of some enrolments, by labels or by name, as few boxes."""

    def __init__(self, every: LabelBox) -> None:
        self._every = every
        self._found: list[LabelBox] = []
        self._names: list[str] = []

    def add(self, namespaces: LabelBox) -> None:
        """Those with these labels."""
        self._found.append(namespaces & self._every)

    def name(self, namespace: Namespace) -> None:
        """This one by its name, unless it is among the others."""
        if not any(box.matches(namespace.labels) for box in self._found):
            self._names.append(namespace.name)

    def boxes(self) -> tuple[LabelBox, ...]:
        """What was added, sorted."""
        if len(self._names) > MOST_NAMES:
            return (self._every,)
        found = {each for each in self._found if not each.empty}
        kept = {each for each in found if not any(each.within(other) for other in found if other != each)}
        if self._names:
            kept.add(LabelBox.of({LABEL_NAMESPACE_NAME: labels.one_of(*self._names)}) & self._every)
        if sum(len(each.selectors()) for each in kept) > MOST_SELECTORS:
            return (self._every,)
        return tuple(sorted(kept, key=lambda box: box.key))


def _floors(world: World, exempt: LabelBox) -> tuple[_Union, _Union]:
    """The unions of namespaces under floors that refuse, and under those that report, ready for more."""
    enforced = LabelBox.of({LABEL_ENROLL: labels.one_of(Enrolment.ENFORCE.value)}) & exempt
    audited = LabelBox.of({LABEL_ENROLL: labels.one_of(Enrolment.AUDIT.value)}) & exempt
    closed = _Union(enforced)
    reported = _Union(LabelBox.of({LABEL_ENROLL: labels.one_of(*_EITHER)}) & exempt)
    for policy in world.cluster_policies:
        if not closes(policy.spec.admission.controls):
            continue
        if policy.spec.mode is Mode.ENFORCE:
            closed.add(policy.namespace_selector)
            reported.add(policy.namespace_selector & audited)
        else:
            reported.add(policy.namespace_selector)
    return closed, reported
