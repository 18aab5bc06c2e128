"""What people open into pods that run: exec, attach and port-forward.

A session says which pod by its name only. Whose pod that is (the policies select by labels, exceptions by identity) is
in no cache here, so the API server is asked, and only where a policy of the namespace closes such sessions at all.
"""

from typing import Final

from ringfence.controls import demands, evaluate
from ringfence.controls.evaluate import Context
from ringfence.controls.sessions import SESSIONS
from ringfence.model.world import Enrolment
from ringfence.webhook import pods
from ringfence.webhook.view import Missing, Unknown, View
from ringfence.webhook.wire import ALLOWED, Answer, AnyRequest, BadReview

#: Ways to a pod's port that the API server calls on as itself: NetworkPolicies hold there.
_NETWORK: Final = frozenset({"proxy"})


def validate(request: AnyRequest, view: View, now: float) -> Answer:
    """Judge a CONNECT to a pod."""
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
    outcome = evaluate.session(session, into, Context(namespace, policy, now))
    what = f"{request.sub_resource} into Pod {namespace.name}/{name}"
    return pods.answer(what, outcome, into.metadata, namespace.name)
