"""Namespaces, as far as labels of Ringfence's change.

Who may change them the webhook cannot know (it would have to ask RBAC for every request); the policy
``ringfence-namespaces`` inside the API server does. Here the values are judged, and new namespaces enrolled.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ringfence.controls import text
from ringfence.controls.control import quoted
from ringfence.controls.pod import Meta
from ringfence.inject.patch import add
from ringfence.model.names import LABEL_ENROLL, LABEL_ZONE, RESERVED_PREFIX, is_dns_label
from ringfence.model.verdict import Violation
from ringfence.model.world import Enrolment
from ringfence.webhook.view import Rules, View
from ringfence.webhook.wire import ALLOWED, Answer, Request

LABELS: Final = "namespace-labels"
_ENROLMENTS: Final = (Enrolment.AUDIT.value, Enrolment.ENFORCE.value)


class _Namespace(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()


_decoder: Final = msgspec.json.Decoder(_Namespace)


def validate(request: Request, view: View, rules: Rules, now: float) -> Answer:
    """Refuse labels that mean nothing; tell what a change opens."""
    del view, now
    if not request.has_object:
        return ALLOWED
    after = _decoder.decode(request.object).metadata
    before = _decoder.decode(request.old_object).metadata.labels or {} if request.has_old_object else {}
    name = request.name or after.name or ""
    violations = tuple(sorted(_wrong(name, after.labels or {}, before, rules.exempt)))
    if violations:
        message = text.refusal(f"these labels of Namespace {name}", violations)
        return Answer(False, message, 422, "Invalid", controls=(LABELS,))
    warnings = tuple(_opened(name, after.labels or {}, before))
    return Answer(True, warnings=warnings) if warnings else ALLOWED


def mutate(request: Request, view: View, rules: Rules, now: float) -> Answer:
    """Enrol a new namespace as the platform wants by default."""
    del view, now
    if request.operation != "CREATE" or rules.default_enrolment is Enrolment.NONE:
        return ALLOWED
    metadata = _decoder.decode(request.object).metadata
    name = request.name or metadata.name or ""
    if name in rules.exempt or LABEL_ENROLL in (metadata.labels or {}):
        return ALLOWED
    value = rules.default_enrolment.value
    if metadata.labels is None:
        return Answer(True, patch=(add(("metadata", "labels"), {LABEL_ENROLL: value}),))
    return Answer(True, patch=(add(("metadata", "labels", LABEL_ENROLL), value),))


def _wrong(
    name: str, after: Mapping[str, str], before: Mapping[str, str], exempt: frozenset[str]
) -> Iterator[Violation]:
    """Only labels that change: one from before Ringfence must not keep its Namespace from ending."""
    for key, value in after.items():
        if not key.startswith(RESERVED_PREFIX) or before.get(key) == value:
            continue
        field = f"metadata.labels[{key}]"
        if key == LABEL_ENROLL:
            if value not in _ENROLMENTS:
                yield Violation(LABELS, field, f"is {quoted([value])}", f"use {' or '.join(_ENROLMENTS)}, or remove it")
            elif name in exempt:
                what = "belongs to Kubernetes, to Ringfence or to the platform's exceptions"
                yield Violation(LABELS, field, f"is {quoted([value])}, but namespace {name} {what}", "remove it")
        elif key == LABEL_ZONE:
            if not is_dns_label(value):
                fix = "use at most 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit"
                yield Violation(LABELS, field, f"is {quoted([value])}, which is no name of a zone", fix)
        else:
            fix = f"use {LABEL_ENROLL} or {LABEL_ZONE}, or remove it"
            yield Violation(LABELS, field, f"is unknown: labels under {RESERVED_PREFIX} are Ringfence's", fix)


def _opened(name: str, after: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    if before.get(LABEL_ENROLL) == Enrolment.ENFORCE and after.get(LABEL_ENROLL) != Enrolment.ENFORCE:
        yield f"Ringfence: the network of namespace {name} opens: nothing of it is enforced any more"
