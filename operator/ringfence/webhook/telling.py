"""What is told beside an answer: to the API server's audit log, and to those whose objects make pods.

A refused pod needs no Event of ours: its author hears the refusal, and a controller whose pod is refused writes one
itself. Nobody hears of what was only reported, and of pods that an exception let in; that is told here.
"""

from collections.abc import Iterable
from typing import Final

from ringfence.controls import text
from ringfence.controls.evaluate import Outcome
from ringfence.controls.pod import Meta, Owner
from ringfence.model.resources import PodSecurityException
from ringfence.model.verdict import Violation
from ringfence.webhook.wire import Notice

#: Keys of audit annotations; the API server puts the name of the webhook before them.
VIOLATIONS: Final = "violations"
AUDIT_VIOLATIONS: Final = "audit-violations"
POLICIES: Final = "policies"
EXCEPTION: Final = "exception"

#: Reasons of Events.
REPORTED: Final = "PolicyViolated"
EXCEPTED: Final = "ExceptionUsed"

#: Most characters of an annotation and of a note; what they quote is people's.
MAX_ANNOTATION: Final = 1024
MAX_NOTE: Final = 1024
#: The longest name, and the longest API version, kind or uid of an owner: nobody checks what a pod says of those.
_LONGEST: Final = 253


def annotations(outcome: Outcome) -> dict[str, str]:
    """What refused, what would have, who asked, and by which exception less was asked."""
    found = {
        VIOLATIONS: text.controls(outcome.violations),
        AUDIT_VIOLATIONS: text.controls(outcome.warnings),
        POLICIES: _policies((*outcome.violations, *outcome.warnings)),
        EXCEPTION: described(outcome.used) if outcome.used is not None else "",
    }
    return {key: value[:MAX_ANNOTATION] for key, value in found.items() if value}


def described(exception: PodSecurityException) -> str:
    """An exception as audit logs and Events name it."""
    return f"{exception.policy}/{exception.name} until {exception.until} ({', '.join(exception.controls)})"


def notices(outcome: Outcome, meta: Meta, namespace: str) -> tuple[Notice, ...]:
    """What is told on the owner of an admitted pod, or on the pod itself.

    It names no pod, so that what equal pods of one owner break is told once.
    """
    about = _owner(meta)
    if about is None:
        return ()
    subject = "its pods break" if about.kind != "Pod" else "it breaks"
    found = []
    if outcome.warnings:
        lines = "; ".join(text.sentences(outcome.warnings))
        note = f"{subject} policies that only report: {lines}"
        found.append(Notice(about, namespace, REPORTED, note[:MAX_NOTE]))
    if outcome.used is not None:
        note = f"let in by exception {described(outcome.used)}: {outcome.used.reason}"
        found.append(Notice(about, namespace, EXCEPTED, note[:MAX_NOTE], warning=False))
    return tuple(found)


def _policies(violations: Iterable[Violation]) -> str:
    return ",".join(sorted({each.policy for each in violations if each.policy}))


def _owner(meta: Meta) -> Owner | None:
    """The controller of the pod, else the pod; None while that has no name."""
    for each in meta.owner_references or ():
        told = each.api_version, each.kind, each.name
        if each.controller and all(told) and max(map(len, (*told, each.uid))) <= _LONGEST:
            return each
    return Owner("v1", "Pod", meta.name, meta.uid or "") if meta.name else None
