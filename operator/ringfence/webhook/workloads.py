"""Warnings for the authors of workloads: what their pods will be refused for. Nothing here refuses."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ringfence.controls import evaluate, templates, text
from ringfence.controls.evaluate import Context
from ringfence.inject import identity
from ringfence.model.names import GROUP
from ringfence.model.signatures import Wanted
from ringfence.model.world import Enrolment
from ringfence.webhook import pods
from ringfence.webhook.view import Rules, View
from ringfence.webhook.wire import ALLOWED, MAX_WARNING, Answer, Request

_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def warn(request: Request, view: View, rules: Rules, now: float) -> Answer:
    """Judge the pod template as its pods will be judged."""
    namespace = view.namespace(request.namespace or "")
    if namespace is None or namespace.enrolment is Enrolment.NONE:
        return ALLOWED
    if request.resource.group == GROUP:
        return _said(_ending(request))
    path = templates.TEMPLATES.get((request.kind.group, request.kind.kind))
    if not path or not request.has_object:
        return ALLOWED
    template = templates.decode(request.object, path)
    if request.has_old_object and templates.decode(request.old_object, path) == template:
        return ALLOWED
    # Its pods come later: what is being checked then is no fault of the workload, and checking starts now.
    known = pods.known(view, namespace, now, pending_refuses=False)
    context = Context(namespace, view.policy(namespace), now, known=known, proxy=rules.proxy)
    if rules.proxy is None:
        outcome = evaluate.create(identity.labelled(template), context, prefix=templates.prefix(path))
    else:
        outcome = evaluate.arriving(_decoder.decode(request.object), path, context)
    consequence = "pods of this workload will be refused" if namespace.enrolment is Enrolment.ENFORCE else "audit"
    refused = text.sentences(outcome.violations, f"Ringfence ({consequence}): ", MAX_WARNING)
    warned = text.sentences(outcome.warnings, "Ringfence: ", MAX_WARNING)
    return _said((*refused, *warned), outcome.wanted)


def _ending(request: Request) -> Iterator[str]:
    """A ServiceIdentity that goes takes away the identity of whoever runs under it."""
    if request.operation == "DELETE":
        spec = _decoder.decode(request.old_object).get("spec") or {}
        account = spec.get("serviceAccountName") or request.name
        yield f"Ringfence: new pods under ServiceAccount {account} will be refused: it has no identity any more"


def _said(warnings: Iterator[str] | tuple[str, ...], wanted: tuple[Wanted, ...] = ()) -> Answer:
    told = tuple(warnings)
    return Answer(True, warnings=told, wanted=wanted) if told or wanted else ALLOWED
