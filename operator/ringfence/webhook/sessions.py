"""What people open into pods that run: exec, attach and port-forward.

A session says which pod by its name only. Whose pod that is (the policies select by labels, exceptions by identity) is
in no cache here, so the API server is asked, and only where a policy of the namespace closes such sessions at all.
"""

from typing import Final

import msgspec

from ringfence.controls import demands, evaluate
from ringfence.controls.evaluate import Context
from ringfence.controls.sessions import SESSIONS
from ringfence.inject import check
from ringfence.model.proxy import CONTAINER
from ringfence.model.world import Enrolment
from ringfence.webhook import pods
from ringfence.webhook.view import Missing, Rules, Unknown, View
from ringfence.webhook.wire import ALLOWED, Answer, AnyRequest, BadReview, Request

#: Ways to a pod's port that the API server calls on as itself: NetworkPolicies hold there.
_NETWORK: Final = frozenset({"proxy"})


def validate(request: AnyRequest, view: View, rules: Rules, now: float) -> Answer:
    """Judge a CONNECT to a pod."""
    if rules.proxy is not None and isinstance(request, Request) and _into_proxy(request):
        what = f"Ringfence refused {request.sub_resource} into Pod {request.namespace}/{request.name}"
        message = f"{what}: container {CONTAINER} is the proxy, and what runs in it goes past all policies"
        return Answer(False, message, controls=(check.NAMES,))
    session = SESSIONS.get(request.sub_resource or "")
    if session is None:
        if request.sub_resource in _NETWORK:
            return ALLOWED
        raise BadReview(f"this version does not know pods/{request.sub_resource} and cannot judge it")
    namespace = pods.namespace_of(request, view)
    policy = view.policy(namespace)
    if policy.enrolment is Enrolment.NONE or not demands.closes(session, policy):
        return ALLOWED
    name = request.name or ""
    if not name:
        raise BadReview("request.name is missing")
    into = view.pod(namespace.name, name)
    if into is None:
        missing = Missing("Pod", namespace.name, name)
        if not view.asked(missing):
            raise Unknown(missing)
        return Answer(False, f"Ringfence: there is no Pod {namespace.name}/{name}", 404, "NotFound")
    outcome = evaluate.session(session, into, Context(namespace, policy, now, proxy=rules.proxy))
    what = f"{request.sub_resource} into Pod {namespace.name}/{name}"
    return pods.answer(what, outcome, into.metadata, namespace.name)


class _Options(msgspec.Struct, frozen=True):
    """Of exec and attach."""

    container: str | None = None


_options: Final = msgspec.json.Decoder(_Options)


def _into_proxy(request: Request) -> bool:
    return request.has_object and _options.decode(request.object).container == CONTAINER
