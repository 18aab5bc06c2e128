"""What the policies of a namespace ask of its pods, as far as the backstop holds it, and where.

What holds for every pod of a namespace is one requirement, so that a request meets one policy, and since an exception
frees a pod only of everything that floors refuse in it. What a namespace asks of some of its pods stands apart, and is
left out where everybody is asked for the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ringfence.controls import expiry
from ringfence.model.demands import ControlId
from ringfence.model.effective import AdmissionRequirement, ControlDemand, EffectivePolicy
from ringfence.model.labels import LabelBox
from ringfence.model.names import LABEL_IDENTITY
from ringfence.model.resources import Kind, Mode, PodSecurityLevel
from ringfence.model.world import Enrolment

#: The controls beyond Pod Security that the backstop holds.
HELD: Final = frozenset({ControlId.IMAGE_DIGEST, ControlId.IMAGE_REGISTRIES})
_EVERY_POD: Final = LabelBox()


@dataclass(frozen=True, slots=True, order=True)
class Level:
    """A Pod Security level as Kubernetes 1.``minor`` has it (-1: the newest); ``floor``: exceptions loosen it."""

    level: PodSecurityLevel
    minor: int
    floor: bool

    @property
    def version(self) -> int | None:
        """The version as the controls take it."""
        return None if self.minor < 0 else self.minor

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor < 0 else f'v1.{self.minor}'}"


@dataclass(frozen=True, slots=True, order=True)
class Images:
    """A control of images and what it is told (places for ``image-registries``)."""

    control: ControlId
    values: tuple[str, ...]
    floor: bool


@dataclass(frozen=True, slots=True, order=True)
class Exemption:
    """Pods under these ServiceAccounts need not satisfy these controls of floors until then (RFC 3339)."""

    accounts: tuple[str, ...]
    controls: tuple[str, ...]
    until: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """What pods must satisfy; equal ones of many namespaces become one policy. Tuples are sorted.

    ``enrolment`` adds what keeps a closed network closed. ``subject`` are the pods that are meant.
    """

    levels: tuple[Level, ...] = ()
    images: tuple[Images, ...] = ()
    enrolment: bool = False
    exemptions: tuple[Exemption, ...] = ()
    subject: LabelBox = _EVERY_POD

    @property
    def empty(self) -> bool:
        """Whether it asks for nothing."""
        return not (self.levels or self.images or self.enrolment)


@dataclass(frozen=True, slots=True)
class Placed:
    """A requirement in a namespace; ``pods`` are those that are meant, by the label that nobody can change."""

    requirement: Requirement
    namespace: str
    pods: LabelBox = _EVERY_POD


def of(policy: EffectivePolicy, now: float) -> tuple[Placed, ...]:
    """What is asked in one namespace; ``now`` in seconds since the epoch. Nothing where nothing is enforced."""
    if policy.enrolment is not Enrolment.ENFORCE:
        return ()
    exemptions = tuple(sorted(_exemptions(policy, now)))
    # Without exceptions it is the same who asks, and namespaces that are asked for the same share a policy.
    floors = bool(exemptions)
    levels, images = _levels(policy.admission, floors=floors), _images(policy.demands, floors=floors)
    wide = Requirement(
        tuple(sorted(levels.pop(_EVERY_POD, set()))),
        tuple(sorted(images.pop(_EVERY_POD, set()))),
        enrolment=True,
        exemptions=exemptions,
    )
    found = [Placed(wide, policy.namespace)]
    for subject in sorted({*levels, *images}, key=lambda box: box.key):
        identities = [key for key, _ in subject.conditions] == [LABEL_IDENTITY]
        narrow = Requirement(
            tuple(sorted(levels.get(subject, set()) - {*wide.levels})),
            tuple(sorted(images.get(subject, set()) - {*wide.images})),
            subject=_EVERY_POD if identities else subject,
        )
        if not narrow.empty and not subject.empty:
            found.append(Placed(narrow, policy.namespace, subject if identities else _EVERY_POD))
    return tuple(found)


def next_end(policy: EffectivePolicy, now: float) -> float:
    """Seconds until the next exception ends; 0 when none does."""
    waits = [expiry.ends(each.until) - now for each in policy.exceptions if expiry.in_force(each, now)]
    return min(waits, default=0.0) if policy.enrolment is Enrolment.ENFORCE else 0.0


def _levels(admission: Iterable[AdmissionRequirement], *, floors: bool) -> dict[LabelBox, set[Level]]:
    found: dict[LabelBox, set[Level]] = {}
    for each in admission:
        if each.mode is Mode.ENFORCE and each.level is not PodSecurityLevel.PRIVILEGED:
            minor = -1 if each.version is None else each.version
            found.setdefault(each.subject, set()).add(Level(each.level, minor, floors and _is_floor(each)))
    return found


def _images(demands: Iterable[ControlDemand], *, floors: bool) -> dict[LabelBox, set[Images]]:
    found: dict[LabelBox, set[Images]] = {}
    for each in demands:
        for setting in each.settings if each.mode is Mode.ENFORCE else ():
            if setting.control in HELD:
                made = Images(setting.control, setting.values, floors and _is_floor(each))
                found.setdefault(each.subject, set()).add(made)
    return found


def _is_floor(asking: AdmissionRequirement | ControlDemand) -> bool:
    return asking.ref.kind == Kind.CLUSTER_SECURITY_POLICY


def _exemptions(policy: EffectivePolicy, now: float) -> Iterator[Exemption]:
    for each in policy.exceptions:
        accounts = tuple(sorted(account for account, name in policy.service_accounts if name in each.identities))
        if accounts and expiry.in_force(each, now):
            yield Exemption(accounts, tuple(sorted(each.controls)), each.until)
