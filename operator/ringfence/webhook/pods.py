"""Pods, by every way that they are written."""

from typing import Any, Final

import msgspec

from ringfence.controls import binding, evaluate, text
from ringfence.controls.evaluate import Context, Outcome
from ringfence.controls.pod import Meta, Pod, Subject
from ringfence.controls.signatures import Known
from ringfence.inject import identity
from ringfence.model.effective import EffectivePolicy
from ringfence.model.ports import Object
from ringfence.model.world import Enrolment, Namespace
from ringfence.webhook import injecting, telling
from ringfence.webhook.view import Missing, Rules, Unknown, View
from ringfence.webhook.wire import ALLOWED, MAX_WARNING, Answer, AnyRequest, BadReview, Request

#: Subresources that write a pod, or nothing at all, and carry another kind: what they say is judged here or harmless.
_HARMLESS: Final = frozenset({"eviction"})


class _Labelled(msgspec.Struct, frozen=True):
    metadata: Meta = Meta()


_labelled: Final = msgspec.json.Decoder(_Labelled)


def mutate(request: AnyRequest, view: View, rules: Rules, now: float) -> Answer:
    """Give a new pod its identity label and its proxy, and refuse what ``validate`` would refuse after that.

    The API server asks its own policies between the two, and stops at the first refusal: whoever breaks something hears
    here what, where, and how to mend it. Everything that is told of pods that come in is left to ``validate``, which
    sees the final pod.
    """
    if request.kind.kind != "Pod" or request.operation not in {"CREATE", "UPDATE"}:
        return ALLOWED
    new, old = request.pods()
    whole: Object | None = None
    patch: list[dict[str, Any]] = []
    if request.operation == "CREATE" and not request.sub_resource:
        patch, whole, made = injecting.injected(request, new, rules.proxy, _enrolment(request, view, rules))
        patch = [*identity.operations(new), *patch]
        new = identity.labelled(made)
    elif old is not None and _debugs(request) and _enrolment(request, view, rules) is Enrolment.ENFORCE:
        patch, whole, new = injecting.debugged(request, new, old)
    judged = _judge(request, new, old, view, rules, now, whole)
    if not judged.allowed:
        return judged
    return Answer(True, patch=tuple(patch)) if patch else ALLOWED


def _debugs(request: AnyRequest) -> bool:
    return request.sub_resource == "ephemeralcontainers"


def _enrolment(request: AnyRequest, view: View, rules: Rules) -> Enrolment:
    """Of the pod's namespace; NONE where pods get no proxy, and nobody needs to know."""
    return namespace_of(request, view).enrolment if rules.proxy is not None else Enrolment.NONE


def validate(request: AnyRequest, view: View, rules: Rules, now: float) -> Answer:
    """Judge the final pod, or the change to it."""
    if request.operation == "DELETE" or request.sub_resource in _HARMLESS:
        return ALLOWED
    if request.resource.resource == "bindings" or request.sub_resource == "binding":
        return _binding(request)
    if request.kind.kind != "Pod":
        what = f"pods/{request.sub_resource} with a {request.kind.kind or 'nameless kind'}"
        raise BadReview(f"this version does not know {what} and cannot judge it")
    return _judge(request, *request.pods(), view, rules, now)


def _judge(
    request: AnyRequest,
    new: Pod,
    old: Pod | None,
    view: View,
    rules: Rules,
    now: float,
    whole: Object | None = None,
) -> Answer:
    """What is said of a new pod, or of the change from an old one. ``whole``: the new one with all of its fields,
    where it is not as the request has it."""
    if old is not None and _same(new, old):
        return ALLOWED
    namespace = namespace_of(request, view)
    policy = view.policy(namespace)
    if old is not None:
        context = Context(namespace, policy, now, known=_known(policy, view, namespace, now), proxy=rules.proxy)
        both = request.whole_pods() if rules.proxy is not None else None
        if both is not None and whole is not None:
            both = whole, both[1]
        outcome = evaluate.update(new, old, context, raw=both)
        return _answer(request, new, outcome, namespace.name)
    ready = policy.enrolment is not Enrolment.ENFORCE or _network(namespace.name, view)
    context = Context(namespace, policy, now, ready, _known(policy, view, namespace, now), rules.proxy)
    if whole is None and rules.proxy is not None:
        whole = request.whole_pods()[0]
    outcome = evaluate.create(new, context, by_node=request.by_node, raw=whole)
    return _answer(request, new, outcome, namespace.name)


def _answer(request: AnyRequest, new: Pod, outcome: Outcome, namespace: str) -> Answer:
    return ALLOWED if outcome is evaluate.GOOD else answer(_what(request, new), outcome, new.metadata, namespace)


def _same(new: Pod, old: Pod) -> bool:
    """Whether nothing that anybody judges changes: a finalizer goes, whatever is known of the namespace."""
    one, other = new.metadata, old.metadata
    return new.spec == old.spec and one.labels == other.labels and one.annotations == other.annotations


def known(view: View, namespace: Namespace, now: float, *, pending_refuses: bool = True) -> Known:
    """What is known of the signatures of images in a namespace."""
    return Known(view.verdicts(namespace.name), now, pending_refuses)


def _known(policy: EffectivePolicy, view: View, namespace: Namespace, now: float) -> Known | None:
    return known(view, namespace, now) if policy.signatures else None


def answer(what: str, outcome: Outcome, meta: Meta, namespace: str) -> Answer:
    """An outcome as an answer: everything that is wrong at once, and what is to be told beside it."""
    if outcome.admitted and not outcome.warnings and outcome.used is None and not outcome.wanted:
        return ALLOWED
    warnings = text.sentences(outcome.warnings, "Ringfence: ", MAX_WARNING) if outcome.warnings else ()
    if outcome.admitted:
        return Answer(
            True,
            warnings=warnings,
            audit=telling.annotations(outcome),
            used=outcome.used,
            notices=telling.notices(outcome, meta, namespace),
            wanted=outcome.wanted,
        )
    return Answer(
        False,
        text.refusal(what, outcome.violations),
        warnings=warnings,
        controls=tuple(sorted({each.control for each in outcome.violations})),
        audit=telling.annotations(outcome),
        wanted=outcome.wanted,
    )


def namespace_of(request: AnyRequest, view: View) -> Namespace:
    """The namespace of a pod. The API server asks about enrolled ones only: if the cache says otherwise, it lags."""
    name = request.namespace or ""
    if not name:
        raise BadReview("request.namespace is missing")
    known = view.namespace(name)
    if known is None or known.enrolment is Enrolment.NONE:
        missing = Missing("Namespace", "", name)
        if not view.asked(missing):
            raise Unknown(missing)
        if known is None:
            raise BadReview(f"namespace {name} does not exist")
    return known


def _network(namespace: str, view: View) -> bool:
    """Whether the default deny is there, or the namespace staged; when the cache says no, the API server is asked."""
    if view.network(namespace):
        return True
    missing = Missing("NetworkPolicy", namespace, "ringfence-default-deny")
    if view.asked(missing):
        return False
    raise Unknown(missing, Missing("Namespace", "", namespace))


def _binding(request: AnyRequest) -> Answer:
    """The API server copies a binding's labels into its pod."""
    meta = _labelled.decode(request.object).metadata if isinstance(request, Request) else request.pods()[0].metadata
    subject = Subject(Pod(metadata=meta))
    outcome = Outcome(tuple(sorted((*binding.label(subject, ""), *binding.reserved(subject)))))
    return answer(f"the binding of Pod {request.namespace}/{meta.shown_name}", outcome, meta, request.namespace or "")


def _what(request: AnyRequest, new: Pod) -> str:
    name = request.name or new.metadata.shown_name
    kind = f"Pod {request.namespace}/{name}"
    return kind if request.operation == "CREATE" else f"this change of {kind}"
