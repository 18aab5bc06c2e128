"""Images that must be signed: judged by what the worker has found out about their digests, never by asking anybody.

Not known means no, for now: the pod is refused with "verification pending", its controller tries again, and meanwhile
the worker asks the registry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ringfence.controls import images
from ringfence.controls.control import quoted
from ringfence.controls.pod import Subject
from ringfence.model.effective import EffectivePolicy, SignatureDemand
from ringfence.model.resources import Kind, Mode
from ringfence.model.signatures import CONTROL, LIFE, Held, SignatureReason, Verdicts, Wanted
from ringfence.model.verdict import Violation

PENDING: Final = "verification pending"
#: Pull secrets of a pod that are passed on.
_MAX_PULL_SECRETS: Final = 16
_UNNAMED: Final = "named without a sha256 digest, and a tag says nothing of what will run"
_ELSEWHERE: Final = "whose signature is checked in the cluster only"


@dataclass(frozen=True, slots=True)
class Known:
    """What a judgement rests on: the verdicts, the time, and whether an image that is being checked is wrong already.

    It is for a pod, not for a workload: its pods come later.
    """

    verdicts: Verdicts
    now: float
    pending_refuses: bool = True


def violations(
    subject: Subject, policy: EffectivePolicy, known: Known | None, excepted: frozenset[str], mode: Mode
) -> list[Violation]:
    """What the subject's images lack of the rules in this mode, sorted.

    ``known`` None (a file is judged, nobody has checked anything): what only a registry can tell is said in mode Audit
    whatever the rule's mode, since it neither admits nor refuses.

    Raises msgspec.MsgspecError for a volume that the API server would not take either.
    """
    asked = (each for each in _demands(subject, policy) if not _freed(each, excepted))
    demands = [each for each in asked if each.mode is mode or (known is None and mode is Mode.AUDIT)]
    if not demands:
        return []
    return sorted(
        each for field, text in images.named(subject) for each in _of_image(field, text, demands, known, mode)
    )


def _of_image(
    field: str, text: str, demands: Sequence[SignatureDemand], known: Known | None, mode: Mode
) -> Iterator[Violation]:
    reference = images.read(text)
    if isinstance(reference, str):
        yield _violation(
            field, f"is {_shown(text)}, which {reference}", "write registry/repository@sha256:…", demands[0]
        )
        return
    for demand in demands:
        if not demand.rule.covers(reference.name):
            continue
        if not reference.digest.startswith("sha256:"):
            wrong = _UNNAMED, f"write {reference.name}@sha256:… with the digest that was signed"
        elif known is None:
            wrong = (_ELSEWHERE, "apply it there") if mode is Mode.AUDIT else ("", "")
        else:
            wrong = _wrong(f"{reference.name}@{reference.digest}", demand, known)
        if wrong[0]:
            yield _violation(field, f"is {_shown(text)}, {wrong[0]}", wrong[1], demand)


def wanted(
    subject: Subject, policy: EffectivePolicy, known: Known, namespace: str, service_account: str
) -> tuple[Wanted, ...]:
    """The images that the worker shall look at: not known, or known for not much longer. Sorted."""
    demands = list(_demands(subject, policy))
    if not demands:
        return ()
    secrets = tuple(dict.fromkeys(each.name for each in subject.spec.image_pull_secrets or () if each.name))
    found = set()
    for _, text in images.named(subject):
        reference = images.read(text)
        if isinstance(reference, str) or not reference.digest.startswith("sha256:"):
            continue
        image = f"{reference.name}@{reference.digest}"
        for demand in demands:
            if demand.rule.covers(reference.name) and _stale(
                known.verdicts.held(image, demand.rule.fingerprint), known.now
            ):
                found.add(Wanted(namespace, image, service_account, secrets[:_MAX_PULL_SECRETS]))
    return tuple(sorted(found))


def _demands(subject: Subject, policy: EffectivePolicy) -> Iterator[SignatureDemand]:
    labels = subject.meta.labels or {}
    return (each for each in policy.signatures if each.subject.matches(labels))


def _freed(demand: SignatureDemand, excepted: frozenset[str]) -> bool:
    """An exception frees of what the platform asks, never of what a namespace asks of itself."""
    return CONTROL in excepted and demand.ref.kind == Kind.CLUSTER_SECURITY_POLICY


def _wrong(image: str, demand: SignatureDemand, known: Known) -> tuple[str, str]:
    """What is wrong, and what to do; "" when nothing is."""
    held = known.verdicts.held(image, demand.rule.fingerprint)
    if held is None or held.until <= known.now:
        what = f"whose signature is being checked: {PENDING}" if known.pending_refuses else ""
        return what, "wait; whoever creates the pod tries again"
    if held.answer.verified:
        return "", ""
    if held.answer.reason is SignatureReason.REGISTRY_FAILED:
        return f"whose signature could not be checked yet: {held.answer.message}", "see to that; it is tried again"
    return (
        f"which is not signed as it must be: {held.answer.message}",
        f"sign this digest as rule {demand.rule.name} asks, or run one that is",
    )


def _stale(held: Held | None, now: float) -> bool:
    """Whether to look (again): a good answer is found anew while the former one still holds."""
    if held is None or held.until <= now:
        return True
    return held.answer.verified and held.until - now < LIFE / 2


def _shown(text: str) -> str:
    """An image as a message names it: its digest is in the field, and a warning has room for 256 characters only."""
    name, at, digest = text.partition("@sha256:")
    return quoted([f"{name}{at}{digest[:12]}..."]) if len(digest) > 15 else quoted([text])


def _violation(field: str, message: str, fix: str, demand: SignatureDemand) -> Violation:
    ref = demand.ref
    owner = f"{ref.namespace}/{ref.policy}" if ref.namespace else ref.policy
    return Violation(CONTROL, field, message, fix, f"{ref.kind} {owner}")
